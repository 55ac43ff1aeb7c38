/**
 * The first page: is anything wrong with this node, and what did it do in the last quarter of an hour.
 * @module
 */
import { make } from "../inbox/dom.js";
import { ask } from "./api.js";
import { Panel } from "./chart.js";
import { live } from "./live.js";
import { badge, heading } from "./parts.js";
import { bytes, count, seconds, share } from "./words.js";

/** Milliseconds that are shown, at most and at least. */
const SPAN = 15 * 60 * 1000;
const SPAN_MIN = 60 * 1000;

/**
 * @typedef {{title: string, column: string, rate?: boolean, top?: number, show: (value: number) => string}} Chart
 * @type {Chart[]}
 */
const CHARTS = [
  { title: "Sessions", column: "sessions", show: count },
  { title: "Users online", column: "users", show: count },
  { title: "Notifications under way", column: "live", show: count },
  { title: "Commands a second", column: "commands", rate: true, show: count },
  { title: "Transactions a second", column: "transactions", rate: true, show: count },
  { title: "Refused a second", column: "refused", rate: true, show: count },
  { title: "Event loop: busy", column: "busy", top: 1, show: share },
  { title: "Event loop: lag", column: "lag", show: seconds },
  { title: "Memory", column: "memory", show: bytes },
];

/**
 * What is unusual, in sentences; none if all is well.
 * @param {{status: string, hops: Record<string, string>, reason?: string}} ready
 * @param {Record<string, number>} now the values of the last sample
 */
export function unusual(ready, now) {
  const said = [];
  if (ready.hops.store === "lost") said.push(`The store cannot be used${ready.reason ? `: ${ready.reason}` : ""}. Posts ${ready.hops.spool === "ok" ? "are spooled" : "are refused"}.`);
  if (ready.hops.bus === "lost") said.push("This node does not hear the others. Devices get all of it, about a second late.");
  if (ready.hops.spool === "lost") said.push("The spool cannot be used: if the store is lost too, posts are refused.");
  if (ready.hops.connectors === "lost") said.push("A connector takes nothing from its broker: the page Connectors says why.");
  if (ready.hops.node === "stopping") said.push("This node is stopping: its devices go to the others.");
  if (now.spool > 0) said.push(`${count(now.spool)} posts wait in the spool for the store.`);
  if (now.busy > 0.8) said.push(`The event loop uses ${share(now.busy)} of its core: this node answers late, and another one is due.`);
  if (now.lag > 0.25) said.push(`The event loop is ${seconds(now.lag)} late.`);
  return said;
}

/**
 * The values of a column, or what it grew by in each second.
 * @param {number[][]} rows @param {number} place @param {boolean} [rate]
 */
export function series(rows, place, rate) {
  if (!rate) return rows.map((row) => row[place]);
  return rows.map((row, index) => {
    const before = rows[index - 1];
    return before ? Math.max(0, (row[place] - before[place]) / Math.max(0.001, (row[0] - before[0]) / 1000)) : 0;
  });
}

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function show(place, signal) {
  const state = make("section", { class: "state", "aria-live": "polite" });
  const all = make("section", { class: "live" });
  const panels = CHARTS.map(({ title, show, top }) => new Panel(title, show, top));
  place.replaceChildren(heading("Overview"), state, make("div", { class: "charts" }, ...panels.map(({ element }) => element)), all);
  void live(all, signal);
  /** @type {number[][]} */
  let rows = [];
  let told = "";
  while (!signal.aborted) {
    const [found, ready] = await Promise.all([
      ask(`/v1/admin/samples?after=${rows.at(-1)?.[0] ?? 0}`, { signal }),
      ask("/readyz", { signal }),
    ]);
    // A node that was started anew, or another one behind the balancer, has a time of its own.
    const fresh = found.rows.length > 0 && rows.length > 0 && found.rows[0][0] < rows[0][0] ? [] : rows;
    const until = (found.rows.at(-1) ?? fresh.at(-1))?.[0] ?? 0;
    rows = [...fresh, ...found.rows].filter((row) => row[0] > until - SPAN);
    const last = rows.at(-1) ?? [];
    const now = Object.fromEntries(found.columns.map((/** @type {string} */ name, /** @type {number} */ index) => [name, last[index] ?? 0]));
    const said = unusual(ready, now);
    const word = JSON.stringify([found.node, ready.status, ready.hops, said]);
    // A screen reader says what is new, and not all of it each second.
    if (word !== told) tell(state, found.node, ready, said);
    told = word;
    const span = Math.max(SPAN_MIN, until - (rows[0]?.[0] ?? until));
    const times = rows.map((row) => row[0]);
    CHARTS.forEach(({ column, rate }, at) => panels[at]?.draw(times, series(rows, found.columns.indexOf(column), rate), span));
    await new Promise((go) => setTimeout(go, found.interval * 1000));
  }
}

/**
 * @param {HTMLElement} place @param {string} node
 * @param {{status: string, hops: Record<string, string>}} ready @param {string[]} said what is unusual
 */
function tell(place, node, { status, hops }, said) {
  const states = Object.entries(hops).map(([name, hop]) => make("span", { class: `hop ${hop}` }, `${name} ${hop}`));
  place.replaceChildren(
    make("p", { class: "line" }, make("strong", {}, node), badge(status), ...states),
    ...(said.length > 0 ? said.map((text) => make("p", { class: "unusual" }, text)) : [make("p", { class: "well" }, "Nothing unusual.")]),
  );
}
