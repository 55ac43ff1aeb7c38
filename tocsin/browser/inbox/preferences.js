/**
 * What a person wants to hear of: a switch for each category, and for each way to them besides the
 * inbox; the hours in which only this inbox is used; and whether this browser is pushed to. A change
 * counts for what is posted from then on.
 * @module
 */

import { make } from "./dom.js";
import { PushButton } from "./push.js";

/** The inbox among the channels. */
const INBOX = "inbox";
const NIGHT = { from: "22:00", to: "07:00" };

/**
 * @typedef {Record<string, boolean | Record<string, boolean>>} Categories by channel, where a person chose so
 * @typedef {{from: string, to: string, timezone: string, channels?: string[]}} Quiet
 * @typedef {{categories: Categories, quiet?: Quiet | null}} Preferences as the server has them; other fields go back as they came
 * @typedef {import("../client/tocsin.js").Tocsin} Tocsin
 */

export class PreferencesForm {
  #categories = make("fieldset", { class: "categories" });
  #quiet = make("fieldset", { class: "quiet", hidden: true });
  #texts;
  #failed;
  #push;
  /** @type {Preferences} */ #preferences = { categories: {} };
  /** @type {Tocsin | null} */ #tocsin = null;

  /**
   * @param {import("./texts.js").Texts} texts @param {() => void} failed a change could not be made
   * @param {string | null} worker the address of the service worker for Web Push
   */
  constructor(texts, failed, worker) {
    this.#texts = texts;
    this.#failed = failed;
    this.#push = new PushButton(texts, failed, worker);
    const hint = make("p", { class: "hint" }, texts.critical);
    this.element = make("section", { class: "preferences", hidden: true, "aria-label": texts.preferences }, this.#categories, this.#quiet, hint, this.#push.element);
  }

  /** @param {Tocsin} tocsin */
  async show(tocsin) {
    this.#tocsin = tocsin;
    const [preferences, found] = await Promise.all([tocsin.preferences(), tocsin.call("GET", "v1/channels")]);
    this.#preferences = preferences;
    const channels = [INBOX, ...found.channels.map((/** @type {{name: string}} */ { name }) => name)];
    this.#drawCategories(channels);
    this.#drawQuiet(channels.length > 1);
    await this.#push.show(tocsin, found.channels);
    this.element.hidden = false;
    this.element.querySelector("input")?.focus();
  }

  /** @param {string[]} channels */
  #drawCategories(channels) {
    const seen = this.#tocsin?.inbox.current.notifications.map(({ category }) => category) ?? [];
    const names = [...new Set([...seen, ...Object.keys(this.#preferences.categories)])].sort();
    const legend = make("legend", {}, names.length > 0 ? this.#texts.preferences : this.#texts.empty);
    const heads = channels.map((each) => make("span", { class: "channel" }, this.#nameOf(each)));
    const head = channels.length > 1 && names.length > 0 ? [make("div", { class: "row", "aria-hidden": "true" }, make("span"), ...heads)] : [];
    this.#categories.style.setProperty("--channels", String(channels.length));
    this.#categories.replaceChildren(legend, ...head, ...names.map((name) => this.#row(name, channels)));
  }

  /** @param {string} channel */
  #nameOf(channel) {
    return channel === INBOX ? this.#texts.inbox : channel;
  }

  /** @param {string} name @param {string[]} channels */
  #row(name, channels) {
    const boxes = channels.map((channel) => this.#switch(name, channel, channels.length === 1));
    const follow = () => {
      // What does not enter the inbox goes nowhere else.
      for (const each of boxes.slice(1)) each.disabled = !boxes[0]?.checked;
    };
    boxes[0]?.addEventListener("change", follow);
    follow();
    return make(boxes.length === 1 ? "label" : "div", { class: "row" }, make("span", { class: "category" }, name), ...boxes);
  }

  /** @param {string} name @param {string} channel @param {boolean} isAlone */
  #switch(name, channel, isAlone) {
    const { categories } = this.#preferences;
    const before = categories[name];
    const box = make("input", { type: "checkbox", role: "switch", checked: isOn(before, channel) });
    box.setAttribute("aria-label", isAlone ? name : `${name}: ${this.#nameOf(channel)}`);
    box.onchange = async () => {
      const was = categories[name];
      categories[name] = isAlone && typeof was !== "object" ? box.checked : { ...asChannels(was), [channel]: box.checked };
      await this.#save(() => {
        if (was === undefined) delete categories[name];
        else categories[name] = was;
        box.checked = !box.checked;
      });
    };
    return box;
  }

  /** @param {boolean} isShown quiet hours are for the channels: without one there is nothing to keep quiet */
  #drawQuiet(isShown) {
    this.#quiet.hidden = !isShown;
    this.#quiet.replaceChildren();
    if (!isShown) return;
    const { quiet } = this.#preferences;
    const box = make("input", { type: "checkbox", role: "switch", checked: !!quiet });
    const [from, to] = /** @type {const} */ (["from", "to"]).map((end) => make("input", { type: "time", required: true, value: (quiet ?? NIGHT)[end], disabled: !quiet, "aria-label": this.#texts[end] }));
    const save = async () => {
      const was = this.#preferences.quiet ?? null;
      if (box.checked && !(from?.value && to?.value && from.value !== to.value)) return;
      const { timeZone: timezone } = Intl.DateTimeFormat().resolvedOptions();
      this.#preferences.quiet = box.checked ? { timezone, ...was, from: from?.value ?? "", to: to?.value ?? "" } : null;
      for (const each of [from, to]) if (each !== undefined) each.disabled = !box.checked;
      await this.#save(() => {
        this.#preferences.quiet = was;
        this.#drawQuiet(isShown);
      });
    };
    for (const each of [box, from, to]) if (each !== undefined) each.onchange = save;
    const label = make("label", { class: "row" }, make("span", {}, this.#texts.quietHours), box);
    this.#quiet.replaceChildren(label, make("div", { class: "hours" }, ...(from && to ? [from, make("span", { "aria-hidden": "true" }, "–"), to] : [])));
  }

  /** @param {() => void} undo */
  async #save(undo) {
    try {
      await this.#tocsin?.preferences(this.#preferences);
    } catch {
      undo();
      this.#failed();
    }
  }
}

/** @param {boolean | Record<string, boolean> | undefined} category @param {string} channel */
const isOn = (category, channel) => (typeof category === "object" ? (category[channel] ?? category[INBOX]) : category) !== false;

/** A word about the whole is one about the inbox. @param {boolean | Record<string, boolean> | undefined} category @returns {Record<string, boolean>} */
const asChannels = (category) => (typeof category === "object" ? category : category === undefined ? {} : { [INBOX]: category });
