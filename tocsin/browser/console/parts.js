/**
 * Pieces that pages share: tables, facts, buttons that say what became of them.
 * @module
 */
import { make } from "../inbox/dom.js";
import { ago } from "./words.js";

/**
 * @typedef {string | Node} Cell
 * @param {string[]} heads of columns; those of numbers begin with `#`
 * @param {Cell[][]} rows @param {string} nothing what to say if there are no rows
 */
export function table(heads, rows, nothing) {
  if (rows.length === 0) return empty(nothing);
  const ofNumber = (/** @type {string | undefined} */ text) => (text?.startsWith("#") ? { class: "number" } : {});
  const head = make("tr", {}, ...heads.map((text) => (text ? make("th", { scope: "col", ...ofNumber(text) }, text.replace("#", "")) : make("td"))));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, at) => make("td", ofNumber(heads[at]), cell))));
  return make("div", { class: "wide", tabIndex: 0 }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

/** What stands where a list would be. @param {string} text */
export const empty = (text) => make("p", { class: "nothing empty" }, text);

/** A page's title, and what can be done with all of it. @param {string} title @param {...Node} actions */
export const heading = (title, ...actions) =>
  make("div", { class: "heading" }, make("h1", {}, title), ...(actions.length > 0 ? [make("div", { class: "actions" }, ...actions)] : []));

/** Notifications of one second begin alike: the end of an id tells them apart. @param {string} id */
export const short = (id) => make("code", { title: id }, `…${id.slice(-8)}`);

const INSTANT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** A sentence of the server's, with its times as a person reads them. @param {string} text @returns {Cell[]} */
export const withTimes = (text) =>
  text.split(INSTANT).map((part, at) => (at % 2 ? make("time", { dateTime: part, title: part }, `${part.slice(11, 19)} (${ago(part)})`) : part));

/** @param {[string, Cell][]} pairs */
export const facts = (pairs) =>
  make("dl", { class: "facts" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));

/** @param {string} text @param {string} href */
export const link = (text, href) => make("a", { href }, text);

/** @param {string} id */
export const toNotification = (id) => make("a", { href: `#/notifications/${encodeURIComponent(id)}` }, short(id));

/** @param {string} state */
export const badge = (state) => make("span", { class: `badge ${state}` }, state);

/**
 * A button that does something, cannot be pressed twice meanwhile, and tells if it failed.
 * @param {string} text @param {() => Promise<unknown>} act @param {string} [sure] a question to be answered first
 */
export function button(text, act, sure) {
  const made = make("button", { type: "button" }, text);
  made.addEventListener("click", async () => {
    if (sure && !(await confirmed(sure, text))) return;
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      made.after(failure(error));
    } finally {
      made.disabled = false;
      // A list that was shown anew has taken the focus with it.
      if (!made.isConnected) document.querySelector("main")?.focus();
    }
  });
  return made;
}

/** A `button` of what cannot be taken back. @param {string} text @param {() => Promise<unknown>} act @param {string} sure */
export function danger(text, act, sure) {
  const made = button(text, act, sure);
  made.classList.add("danger");
  return made;
}

/** Whether a person is sure of what is about to be done; Escape and Cancel say no. @param {string} question @param {string} yes */
function confirmed(question, yes) {
  const dialog = make("dialog", { "aria-labelledby": "question" });
  const close = (/** @type {string} */ answer) => () => dialog.close(answer);
  const no = make("button", { type: "button", onclick: close("") }, "Cancel");
  const go = make("button", { type: "button", class: "yes", onclick: close("yes") }, yes);
  dialog.append(make("p", { id: "question" }, question), make("div", { class: "actions" }, no, go));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((answered) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      answered(dialog.returnValue === "yes");
    });
  });
}

/** @param {unknown} error */
export const failure = (error) =>
  make("p", { class: "failure", role: "alert" }, error instanceof Error ? error.message : String(error));
