"""How the page of the documents looks: one sheet, no fonts or pictures from anywhere."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c1f26; --soft: #5c6370;
  --line: #e3e5ea; --shade: #f5f6f8; --link: #0b62c4; --read: #0a7350; --write: #0b62c4;
  --change: #92580a; --remove: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161a; --ink: #e4e6eb; --soft: #9aa1ad;
  --line: #2c3038; --shade: #1d2026; --link: #79b3ff; --read: #5fd0a5; --write: #79b3ff;
  --change: #eab464; --remove: #ff8f85; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--shade); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem 1rem; overflow-x: auto; margin: .5rem 0 1rem; }
main { max-width: 54rem; margin: 0 auto; padding: 1.5rem 1.25rem 6rem; }
nav { border-top: 1px solid var(--line); background: var(--shade); padding: .8rem 1.25rem;
  font-size: .9rem; }
.jump { position: fixed; right: 1rem; bottom: 1rem; padding: .45rem .9rem; border-radius: 99px;
  background: var(--ink); color: var(--ground); font-size: .9rem; }
nav h2 { font-size: .75rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft);
  margin: 1.2rem 0 .3rem; border: 0; padding: 0; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li a { display: block; padding: .16rem 0; color: var(--ink); overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.02em; }
h1 small { font-size: .95rem; font-weight: 400; color: var(--soft); letter-spacing: 0; }
h2 { font-size: 1.4rem; margin: 3.5rem 0 0; padding-bottom: .4rem;
  border-bottom: 1px solid var(--line); }
h2::first-letter { text-transform: uppercase; }
h3 { font-size: 1.08rem; margin: 0 0 .35rem; overflow-wrap: anywhere; }
h4 { font-size: .78rem; letter-spacing: .05em; text-transform: uppercase; color: var(--soft);
  margin: 1.2rem 0 .3rem; }
p { margin: .3rem 0 .6rem; }
section { padding: 1.8rem 0 .6rem; border-bottom: 1px solid var(--line); }
section:target h3 { background: var(--shade); box-shadow: 0 0 0 .4rem var(--shade);
  border-radius: 2px; }
.path { display: flex; flex-wrap: wrap; gap: .1rem .6rem; align-items: baseline; }
.path code { font-size: .95rem; }
.method { font: 700 .8rem/1.5 ui-monospace, Menlo, Consolas, monospace; color: var(--write); }
.get { color: var(--read); }
.patch, .put { color: var(--change); }
.delete { color: var(--remove); }
.soft { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .8rem; }
th, td { padding: .38rem .9rem .38rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td:first-child { white-space: nowrap; }
td:first-child code { overflow-wrap: normal; }
details > summary { cursor: pointer; color: var(--link); font-size: .9rem; }
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 18.5rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; order: -1;
    border: 0; border-right: 1px solid var(--line); }
  .jump { display: none; }
  main { padding: 2.5rem 3rem 8rem; width: 100%; margin: 0; max-width: 60rem; }
}
@media print { nav, .jump { display: none; } }
"""
