/**
 * One notification in the list. Its text is text, never markup, whatever it looks like, and its
 * address leads only where a browser may be sent: http, https, or a path of the page's own origin.
 * @module
 */

import { icon, make } from "./dom.js";

const READ = "M4 12.5l5 5L20 6.5";
const UNREAD = "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z";
const ARCHIVE = "M3 5h18v4H3zM5 9v10h14V9M10 13h4";

/** Units of time, in seconds, the largest first. @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["year", 31_557_600], ["month", 2_629_800], ["day", 86_400], ["hour", 3600], ["minute", 60]];

/**
 * @typedef {import("../client/frames.js").Notification} Notification
 * @typedef {object} Wishes what a person wants done
 * @property {(state: import("../client/inbox.js").Mark, id: string) => void} mark
 * @property {(notification: Notification) => void} open
 */

export class Item {
  #texts;
  #wishes;
  #relative;
  #exact;
  /** What an element shows, and in which minute: of that, nothing has to be done. @type {WeakMap<HTMLElement, [Notification, number]>} */
  #drawn = new WeakMap();

  /** @param {string} lang @param {import("./texts.js").Texts} texts @param {Wishes} wishes */
  constructor(lang, texts, wishes) {
    this.#texts = texts;
    this.#wishes = wishes;
    this.#relative = new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "short" });
    this.#exact = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" });
  }

  /**
   * The element of a notification: the one before, brought up to date, or a new one.
   * @param {Notification} notification @param {HTMLElement | undefined} before
   */
  render(notification, before) {
    const element = before ?? this.#make();
    const minute = Math.floor(Date.now() / 60_000);
    const [drawn, drawnIn] = this.#drawn.get(element) ?? [];
    if (drawn === notification && drawnIn === minute) return element;
    this.#drawn.set(element, [notification, minute]);
    const { id, title, body, url, state, priority, created_at: created } = notification;
    const isUnread = state !== "read";
    const parts = /** @type {Record<string, any>} */ (/** @type {any} */ (element).parts);
    setText(parts.name, title);
    setText(parts.body, body ?? "");
    parts.body.hidden = parts.body.textContent === "";
    const time = Date.parse(created);
    const isKnown = Number.isFinite(time);
    setText(parts.time, isKnown ? this.#ago(time) : "");
    parts.time.dateTime = isKnown ? created : "";
    parts.time.title = isKnown ? this.#exact.format(time) : "";
    parts.read.title = isUnread ? this.#texts.markRead : this.#texts.markUnread;
    parts.read.setAttribute("aria-label", parts.read.title);
    parts.read.replaceChildren(icon(isUnread ? READ : UNREAD));
    parts.read.onclick = act(() => this.#wishes.mark(isUnread ? "read" : "unread", id));
    parts.archive.onclick = act(() => this.#wishes.mark("archived", id));
    element.toggleAttribute("data-unread", isUnread);
    element.dataset.priority = priority;
    const address = safeAddress(url);
    if (address === null) delete element.dataset.url;
    else element.dataset.url = address;
    element.onclick = () => this.#wishes.open(notification);
    element.onkeydown = (event) => {
      if (event.key === "Enter" && event.target === element) this.#wishes.open(notification);
    };
    return element;
  }

  #make() {
    const parts = {
      name: make("span", { class: "name" }),
      body: make("p", { class: "body" }),
      time: make("time"),
      read: make("button", { type: "button", tabIndex: -1 }),
      archive: make("button", { type: "button", tabIndex: -1, title: this.#texts.archive, "aria-label": this.#texts.archive }, icon(ARCHIVE)),
    };
    const actions = make("span", { class: "actions" }, parts.read, parts.archive);
    const element = make("li", { class: "item", part: "item", tabIndex: -1 }, make("span", { class: "dot" }), parts.name, parts.time, parts.body, actions);
    return Object.assign(element, { parts });
  }

  /** @param {number} time in milliseconds since 1970 */
  #ago(time) {
    const seconds = (time - Date.now()) / 1000;
    for (const [unit, size] of UNITS) {
      if (Math.abs(seconds) >= size) return this.#relative.format(Math.trunc(seconds / size), unit);
    }
    return this.#relative.format(0, "second");
  }
}

/**
 * Where a notification may lead; null where it leads nowhere.
 * @param {unknown} url
 */
export function safeAddress(url) {
  if (typeof url !== "string") return null;
  try {
    const { protocol, href } = new URL(url, location.origin);
    return protocol === "https:" || protocol === "http:" ? href : null;
  } catch {
    return null;
  }
}

/** @param {() => void} work @returns {(event: Event) => void} */
function act(work) {
  return (event) => {
    event.stopPropagation();
    work();
  };
}

/** Only a change is written, so that a screen reader is not disturbed. @param {Node} node @param {string} text */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
