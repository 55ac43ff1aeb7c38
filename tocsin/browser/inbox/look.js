/**
 * The look of the inbox. Themed from outside by the custom properties at the top, and by
 * `::part(bell)`, `::part(badge)`, `::part(panel)`, `::part(item)`.
 * @module
 */

export const LOOK = /* css */ `
:host {
  --tocsin-accent: light-dark(#2f5fd0, #7ea2ff);
  --tocsin-background: light-dark(#ffffff, #1b1d22);
  --tocsin-text: light-dark(#1c1f26, #e8eaf0);
  --tocsin-muted: light-dark(#5b6270, #a3a9b8);
  --tocsin-line: light-dark(#e4e7ee, #30343d);
  --tocsin-hover: light-dark(#f4f6fb, #24272e);
  --tocsin-badge: light-dark(#c8202f, #e5484d);
  --tocsin-radius: 12px;
  --tocsin-font: 14px/1.45 system-ui, sans-serif;
  color-scheme: light dark;
  display: inline-block;
  font: var(--tocsin-font);
  color: var(--tocsin-text);
}
* { box-sizing: border-box; }
button { font: inherit; color: inherit; background: none; border: 0; cursor: pointer; border-radius: 8px; }
:focus-visible { outline: 2px solid var(--tocsin-accent); outline-offset: -2px; }
.bell { position: relative; display: grid; place-items: center; inline-size: 40px; block-size: 40px; border-radius: 50%; }
.bell:hover { background: var(--tocsin-hover); }
.bell svg { inline-size: 20px; block-size: 20px; fill: currentColor; }
.badge { position: absolute; inset-block-start: 2px; inset-inline-end: 0; min-inline-size: 18px; padding: 0 5px;
  font-size: 11px; font-weight: 600; line-height: 18px; text-align: center; color: #fff;
  background: var(--tocsin-badge); border-radius: 9px; }
.panel { position: fixed; inset: auto; margin: 0; padding: 0; inline-size: min(400px, 100vw - 16px);
  max-block-size: min(640px, 100vh - 80px); overflow: hidden; color: var(--tocsin-text);
  background: var(--tocsin-background); border: 1px solid var(--tocsin-line); border-radius: var(--tocsin-radius);
  box-shadow: 0 12px 40px rgb(0 0 0 / 18%); }
.panel:popover-open { display: flex; flex-direction: column; }
header { display: flex; align-items: center; gap: 4px; padding: 12px 12px 8px 16px; border-block-end: 1px solid var(--tocsin-line); }
h2 { flex: 1; margin: 0; font-size: 16px; font-weight: 650; }
header button { padding: 4px 10px; color: var(--tocsin-muted); }
header button[aria-pressed="true"] { color: var(--tocsin-text); background: var(--tocsin-hover); font-weight: 600; }
header button:hover { color: var(--tocsin-text); }
.list { flex: 1; min-block-size: 120px; margin: 0; padding: 0; overflow-y: auto; overscroll-behavior: contain; list-style: none; }
.list::before { content: ""; display: block; block-size: var(--before, 0); }
.list::after { content: ""; display: block; block-size: var(--after, 0); }
.item { position: relative; display: grid; grid-template-columns: 20px 1fr minmax(64px, auto); gap: 0 4px; padding: 12px 12px 12px 8px;
  border-block-end: 1px solid var(--tocsin-line); cursor: default; }
.item[data-url] { cursor: pointer; }
.item:is(:hover, :focus-visible, :has(:focus-visible)) { background: var(--tocsin-hover); }
.dot { inline-size: 8px; block-size: 8px; margin: 6px auto 0; border-radius: 50%; background: transparent; }
.item[data-unread] .dot { background: var(--tocsin-accent); }
.item[data-priority="critical"][data-unread] .dot { background: var(--tocsin-badge); }
.name, .body { unicode-bidi: plaintext; text-align: start; }
.name { grid-area: 1 / 2; overflow-wrap: anywhere; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.item[data-unread] .name { font-weight: 600; }
.body { grid-area: 2 / 2 / 3 / 4; margin: 2px 0 0; color: var(--tocsin-muted); overflow-wrap: anywhere; white-space: pre-line;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
time { grid-area: 1 / 3; text-align: end; color: var(--tocsin-muted); font-size: 12px; white-space: nowrap; line-height: 20px; }
.actions { grid-area: 1 / 3; place-self: start end; display: flex; margin: -4px -4px -4px 0; opacity: 0; }
.item:is(:hover, :focus-visible, :has(:focus-visible)) { .actions { opacity: 1; } time { opacity: 0; } }
.actions button { display: grid; place-items: center; inline-size: 32px; block-size: 28px; color: var(--tocsin-muted); }
.actions button:hover { color: var(--tocsin-text); background: var(--tocsin-line); }
.actions svg { inline-size: 16px; block-size: 16px; fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
:is(.gear, .mark-all) svg { inline-size: 16px; block-size: 16px; display: block; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; }
.panel[data-preferences] :is(.list, .note) { display: none; }
.preferences { padding: 16px; overflow-y: auto; min-block-size: 160px; }
.preferences fieldset { margin: 0; padding: 0; border: 0; }
.preferences legend { padding: 0 0 8px; font-weight: 600; }
.preferences .row { display: grid; grid-template-columns: 1fr repeat(var(--channels, 1), minmax(52px, auto)); gap: 8px; align-items: center; justify-items: center; padding: 10px 0; border-block-end: 1px solid var(--tocsin-line); overflow-wrap: anywhere; }
.preferences .row > :first-child { justify-self: start; }
.preferences .channel { font-size: 12px; color: var(--tocsin-muted); }
.preferences .quiet { margin-block-start: 8px; --channels: 1; }
.preferences .hours { display: flex; gap: 8px; align-items: center; padding-block: 8px; }
.preferences [type=time] { font: inherit; color: inherit; background: none; border: 1px solid light-dark(#8b8e98, #6b6e78); border-radius: 8px; padding: 4px 8px; }
.preferences :disabled { opacity: .45; cursor: default; }
.webpush { margin-block-start: 16px; }
.push { padding: 8px 14px; inline-size: 100%; border: 1px solid light-dark(#8b8e98, #6b6e78); font-weight: 600; color: var(--tocsin-accent); }
.push:hover { background: var(--tocsin-hover); }
.preferences [type=checkbox] { appearance: none; flex: none; inline-size: 36px; block-size: 20px; margin: 0; border-radius: 10px; cursor: pointer; background: var(--tocsin-muted);
  background-image: radial-gradient(circle at center, #fff 0 7px, transparent 7.5px); background-size: 20px 20px; background-repeat: no-repeat; background-position: 0 0; }
.preferences [type=checkbox]:checked { background-color: var(--tocsin-accent); background-position: 16px 0; }
.preferences input:focus-visible { outline-offset: 2px; }
.hint { margin: 12px 0 0; color: var(--tocsin-muted); font-size: 12px; }
.note { display: grid; place-items: center; align-content: center; gap: 12px; min-block-size: 200px; padding: 24px 16px; text-align: center; color: var(--tocsin-muted); }
.note svg { inline-size: 32px; block-size: 32px; fill: currentColor; opacity: .35; }
.note p { margin: 0; }
footer { display: flex; align-items: center; gap: 8px; padding: 8px 16px; font-size: 13px; color: var(--tocsin-muted);
  background: var(--tocsin-hover); border-block-start: 1px solid var(--tocsin-line); }
footer button { padding: 2px 8px; color: var(--tocsin-accent); font-weight: 600; }
[hidden] { display: none !important; }
.aloud { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 480px) {
  header button { padding-inline: 8px; }
  .panel { inset: auto 0 0 0 !important; inline-size: 100vw; max-block-size: 85vh; border-radius: var(--tocsin-radius) var(--tocsin-radius) 0 0; border-inline: 0; border-block-end: 0; }
  .actions { opacity: 1; grid-area: 3 / 2; justify-self: start; margin: 6px 0 -4px -8px; }
  .item time { opacity: 1 !important; }
  .actions button { inline-size: 40px; block-size: 36px; }
}
@media (prefers-reduced-motion: no-preference) {
  .panel:popover-open { animation: open 120ms ease-out; }
  .actions { transition: opacity 100ms; }
  @keyframes open { from { opacity: 0; translate: 0 -4px; } }
  @media (max-width: 480px) { @keyframes open { from { opacity: 0; translate: 0 24px; } } }
}
`;
