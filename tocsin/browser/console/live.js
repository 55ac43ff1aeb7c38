/**
 * What all nodes of the cluster do, second by second: a line for each node, and the latest events.
 * @module
 */
import { keepInStep, make } from "../inbox/dom.js";
import { key, reach } from "./api.js";
import { link, toNotification } from "./parts.js";
import { count, seconds as duration, share } from "./words.js";

/** Events that are shown. */
const EVENTS_MAX = 14;
/** Milliseconds after which a node that tells nothing is called silent. */
const SILENT = 5000;
/** Milliseconds until a stream that ended is begun again. */
const AGAIN = 2000;
const COUNTS = ["committed", "pushed", "acknowledged", "resent"];

/**
 * The events of a stream: the names and data of those that are whole, and the rest of the text.
 * @param {string} text @returns {[[string, any][], string]}
 */
export function eventsIn(text) {
  const blocks = text.split("\n\n");
  const rest = blocks.pop() ?? "";
  /** @type {[string, any][]} */
  const events = [];
  for (const block of blocks) {
    const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
    if (fields.has("event")) events.push([fields.get("event") ?? "", JSON.parse(fields.get("data") ?? "null")]);
  }
  return [events, rest];
}

/** The stream's events until it ends; rejects as `reach`. @param {string} path @param {AbortSignal} signal */
export async function* streamed(path, signal) {
  const answer = await reach(path, { headers: { Authorization: `Bearer ${key() ?? ""}` }, signal });
  if (!answer.ok || answer.body === null) throw new Error(`The stream of events is refused (${answer.status}).`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const [events, rest] = eventsIn(text + value);
    text = rest;
    yield* events;
  }
}

/**
 * Follow all nodes, or one user on all of them, in `place`, until `signal`.
 * @param {HTMLElement} place @param {AbortSignal} signal @param {string} [user]
 */
export async function live(place, signal, user) {
  const rows = make("tbody");
  const heads = ["node", "commits/s", "pushes/s", "acks/s", "resent/s", "sessions", "busy", "lag"];
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((each) => make("th", { scope: "col", ...(each === "node" ? {} : { class: "number" }) }, each)))), rows);
  const list = make("ol", { class: "ticker" });
  const note = make("p", { class: "nothing" }, "Waiting for the first second …");
  place.replaceChildren(...(user === undefined ? [make("h2", {}, "All nodes"), make("div", { class: "wide", tabIndex: 0 }, table)] : []), make("h2", {}, "As it happens ", make("small", {}, "UTC")), note, list);
  /** @type {Map<string, any>} */
  const nodes = new Map();
  /** @type {any[]} */
  let latest = [];
  let number = 0;
  const path = `/v1/admin/events${user === undefined ? "" : `?user=${encodeURIComponent(user)}`}`;
  while (!signal.aborted) {
    try {
      for await (const [name, said] of streamed(path, signal)) {
        if (name !== "second") continue;
        nodes.set(said.node, { ...said, heard: Date.now() });
        latest = [...said.events.map((/** @type {any} */ each) => ({ ...each, node: said.node, id: String((number += 1)) })).reverse(), ...latest].slice(0, EVENTS_MAX);
        rows.replaceChildren(...[...nodes.values()].sort((one, other) => one.node.localeCompare(other.node)).map(nodeRow));
        // A line that is there already stays, with the focus that it may have.
        keepInStep(list, latest, ({ id }) => id, (event, before) => before ?? eventLine(event));
        note.textContent = latest.length > 0 ? "" : "Nothing has happened since this page was opened.";
        note.hidden = latest.length > 0;
      }
    } catch (error) {
      if (signal.aborted) return;
      note.textContent = error instanceof Error ? error.message : String(error);
      note.hidden = false;
    }
    await new Promise((go) => setTimeout(go, AGAIN));
  }
}

/** @param {any} second @returns {HTMLElement} */
function nodeRow({ node, counts, sample, heard }) {
  const isSilent = Date.now() - heard > SILENT;
  const cells = isSilent ? ["silent"] : [...COUNTS.map((each) => count(counts[each] ?? 0)), count(sample.sessions ?? 0), share(sample.busy ?? 0), duration(sample.lag ?? 0)];
  return make("tr", isSilent ? { class: "silent" } : {}, make("td", {}, make("strong", {}, node)), ...cells.map((each) => make("td", { class: "number" }, each)));
}

/** @param {any} event */
function eventLine({ at, kind, node, notification, user, device, detail }) {
  return make(
    "li",
    {},
    make("time", { dateTime: at, title: at }, at.slice(11, 23)),
    make("span", { class: `kind ${kind}` }, kind),
    make(
      "span",
      { class: "what" },
      ...(notification ? [toNotification(notification)] : []),
      ...(user ? [" ", link(user, `#/users/${encodeURIComponent(user)}`)] : []),
      ...(device ? [` ${device}`] : []),
      ...(detail ? [` (${detail})`] : []),
    ),
    make("span", { class: "where" }, node),
  );
}
