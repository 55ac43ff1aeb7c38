/**
 * Pieces that pages share: tables, facts, buttons that say what became of them.
 * @module
 */
import { make } from "../inbox/dom.js";

/**
 * @typedef {string | Node} Cell
 * @param {string[]} heads @param {Cell[][]} rows @param {string} nothing what to say if there are no rows
 */
export function table(heads, rows, nothing) {
  if (rows.length === 0) return make("p", { class: "nothing" }, nothing);
  const head = make("tr", {}, ...heads.map((text) => (text ? make("th", { scope: "col" }, text) : make("td"))));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  return make("div", { class: "wide", tabIndex: 0 }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

/** @param {[string, Cell][]} pairs */
export const facts = (pairs) =>
  make("dl", { class: "facts" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));

/** @param {string} text @param {string} href */
export const link = (text, href) => make("a", { href }, text);

/** @param {string} state */
export const badge = (state) => make("span", { class: `badge ${state}` }, state);

/**
 * A button that does something, cannot be pressed twice meanwhile, and tells if it failed.
 * @param {string} text @param {() => Promise<unknown>} act @param {string} [sure] a question to be answered first
 */
export function button(text, act, sure) {
  const made = make("button", { type: "button" }, text);
  made.addEventListener("click", async () => {
    if (sure && !confirm(sure)) return;
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      made.after(failure(error));
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

/** @param {unknown} error */
export const failure = (error) =>
  make("p", { class: "failure", role: "alert" }, error instanceof Error ? error.message : String(error));
