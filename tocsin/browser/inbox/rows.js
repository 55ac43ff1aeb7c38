/**
 * A list of which only what is in view stands in the page, so that ten thousand scroll as ten do.
 * Rows have any height: it is measured when a row is shown, and guessed until then. What is not
 * there stands before and after them as empty space: `--before` and `--after`, in `look.js`.
 *
 * One row, with its buttons, is in the order of the tabulator. Arrows, Home and End go from row to row, and the list
 * itself takes the focus of a row that is scrolled out of view.
 * @module
 */

import { keepInStep } from "./dom.js";

/** Pixels above and below the view in which rows are made, and in which they have to be there. */
const MARGIN = 600;
const MARGIN_MIN = 100;
/** Pixels of a row before any was measured. */
const HEIGHT_GUESSED = 72;

/** @template {{id: string}} T */
export class Rows {
  #list;
  #render;
  /** @type {readonly T[]} */ #values = [];
  /** Pixels, of rows that were shown. @type {Map<string, number>} */ #heights = new Map();
  #guess = HEIGHT_GUESSED;
  /** Where each row begins, and behind them the end of the last, in pixels. */ #starts = new Float64Array(1);
  /** @type {[number, number]} */ #range = [0, 0];
  /** The row that is in the order of the tabulator. @type {string | undefined} */ #current;

  /** @param {HTMLElement} list @param {(value: T, before: HTMLElement | undefined) => HTMLElement} render */
  constructor(list, render) {
    this.#list = list;
    this.#render = render;
    list.tabIndex = -1;
    list.addEventListener("keydown", (event) => this.#move(event));
    list.addEventListener("focusin", ({ target }) => {
      const row = /** @type {HTMLElement} */ (target).closest("li");
      if (row !== null) this.#becomeCurrent(row.dataset.key);
    });
  }

  /** The row that keys act on; -1 if there is none. */
  get at() {
    return this.#values.findIndex(({ id }) => id === this.#current);
  }

  /** @param {readonly T[]} values */
  show(values) {
    const anchor = this.#anchor();
    this.#values = values;
    if (this.#heights.size > 2 * values.length + 100) {
      const ids = new Set(values.map(({ id }) => id));
      for (const id of this.#heights.keys()) if (!ids.has(id)) this.#heights.delete(id);
    }
    if (this.at < 0) this.#current = values[0]?.id;
    this.#measure(anchor);
    this.#draw();
  }

  /** The view has moved. */
  scrolled() {
    const [first, last] = this.#inView(MARGIN_MIN);
    if (first < this.#range[0] || last > this.#range[1]) this.#draw();
  }

  /** Focus the row `at`, or the nearest one. @param {number} at */
  focus(at) {
    const to = Math.max(0, Math.min(this.#values.length - 1, at));
    const value = this.#values[to];
    if (value === undefined) return;
    this.#becomeCurrent(value.id);
    const [top = 0, bottom = 0] = [this.#starts[to], this.#starts[to + 1]];
    const { scrollTop, clientHeight } = this.#list;
    if (top < scrollTop) this.#list.scrollTop = top;
    else if (bottom > scrollTop + clientHeight) this.#list.scrollTop = bottom - clientHeight;
    this.#draw();
    this.#rowOf(value.id)?.focus();
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const { at } = this;
    /** @type {Record<string, number>} */
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: this.#values.length - 1 };
    const to = steps[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.focus(to);
  }

  /** @param {string | undefined} id */
  #becomeCurrent(id) {
    this.#current = id;
    for (const each of this.#list.children) {
      const row = /** @type {HTMLElement} */ (each);
      const tabIndex = row.dataset.key === id ? 0 : -1;
      if (row.tabIndex === tabIndex) continue;
      row.tabIndex = tabIndex;
      for (const button of row.querySelectorAll("button")) button.tabIndex = tabIndex;
    }
  }

  /** @param {string} id */
  #rowOf(id) {
    return /** @type {HTMLElement | undefined} */ ([...this.#list.children].find((row) => /** @type {HTMLElement} */ (row).dataset.key === id));
  }

  /** The first row in view, and how far it is scrolled out: that stays where it is. @returns {[string, number] | null} */
  #anchor() {
    const { scrollTop } = this.#list;
    const at = this.#find(scrollTop);
    const value = this.#values[at];
    return value === undefined || scrollTop === 0 ? null : [value.id, scrollTop - (this.#starts[at] ?? 0)];
  }

  /** Work out where rows begin, and keep the anchor in its place. @param {[string, number] | null} anchor */
  #measure(anchor) {
    const starts = (this.#starts = new Float64Array(this.#values.length + 1));
    let top = 0;
    let anchored = -1;
    this.#values.forEach(({ id }, at) => {
      if (id === anchor?.[0]) anchored = top;
      top += this.#heights.get(id) ?? this.#guess;
      starts[at + 1] = top;
    });
    if (anchor !== null && anchored >= 0) this.#scrollTo = anchored + anchor[1];
  }

  /** Where the view is to be, once the list is as high as that. @type {number | null} */
  #scrollTo = null;

  /** The row at a height of the list, by halving. @param {number} top */
  #find(top) {
    let [low, high] = [0, this.#values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {number} */ (this.#starts[middle + 1]) <= top) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** @param {number} margin @returns {[number, number]} the first row that is in view, and the one behind the last */
  #inView(margin) {
    const top = this.#scrollTo ?? this.#list.scrollTop;
    // Before it was ever drawn, a list is low.
    const height = Math.max(this.#list.clientHeight, innerHeight);
    return [this.#find(top - margin), Math.min(this.#values.length, this.#find(top + height + margin) + 1)];
  }

  #draw() {
    const [first, last] = (this.#range = this.#inView(MARGIN));
    const focused = /** @type {ShadowRoot | Document} */ (this.#list.getRootNode()).activeElement?.closest("li")?.dataset.key;
    keepInStep(this.#list, this.#values.slice(first, last), ({ id }) => id, (value, before) => this.#render(value, before));
    // A row that goes out of view would take the focus with it.
    if (focused !== undefined && this.#rowOf(focused) === undefined) this.#list.focus({ preventScroll: true });
    [...this.#list.children].forEach((row, at) => {
      row.setAttribute("aria-setsize", String(this.#values.length));
      row.setAttribute("aria-posinset", String(first + at + 1));
    });
    this.#pad(first, last);
    this.#becomeCurrent(this.#current);
    if (this.#learn()) {
      this.#measure(this.#anchor());
      this.#pad(first, last);
    }
    if (this.#scrollTo !== null) this.#list.scrollTop = this.#scrollTo;
    this.#scrollTo = null;
  }

  /** @param {number} first @param {number} last */
  #pad(first, last) {
    const [top = 0, bottom = 0, end = 0] = [this.#starts[first], this.#starts[last], this.#starts[this.#values.length]];
    this.#list.style.setProperty("--before", `${top}px`);
    this.#list.style.setProperty("--after", `${end - bottom}px`);
  }

  /** Measure what is shown; whether a row is higher or lower than was thought. */
  #learn() {
    let isNew = false;
    for (const row of this.#list.children) {
      const { dataset, offsetHeight } = /** @type {HTMLElement} */ (row);
      const { key = "" } = dataset;
      if (offsetHeight === 0 || this.#heights.get(key) === offsetHeight) continue;
      if (this.#heights.size === 0) this.#guess = offsetHeight;
      this.#heights.set(key, offsetHeight);
      isNew = true;
    }
    return isNew;
  }
}
