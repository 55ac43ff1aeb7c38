/**
 * What a person wants to hear of: a switch for each category. Those that the inbox has shown, or that
 * were switched before, are listed; a change counts for what is posted from then on.
 * @module
 */

import { make } from "./dom.js";

/**
 * @typedef {Record<string, boolean | Record<string, boolean>>} Categories by channel, where a person chose so
 * @typedef {{categories: Categories}} Preferences as the server has them; other fields go back as they came
 */

export class PreferencesForm {
  #form = make("fieldset", {});
  #texts;
  #failed;

  /** @param {import("./texts.js").Texts} texts @param {() => void} failed a change could not be made */
  constructor(texts, failed) {
    this.#texts = texts;
    this.#failed = failed;
    this.element = make("section", { class: "preferences", hidden: true }, this.#form, make("p", { class: "hint" }, texts.critical));
  }

  /** @param {import("../client/tocsin.js").Tocsin} tocsin */
  async show(tocsin) {
    const preferences = /** @type {Preferences} */ (await tocsin.preferences());
    const seen = tocsin.inbox.current.notifications.map(({ category }) => category);
    const names = [...new Set([...seen, ...Object.keys(preferences.categories)])].sort();
    const rows = names.map((name) => this.#row(tocsin, preferences, name));
    this.#form.replaceChildren(make("legend", {}, names.length > 0 ? this.#texts.preferences : this.#texts.empty), ...rows);
    this.element.hidden = false;
    this.#form.querySelector("input")?.focus();
  }

  /** @param {import("../client/tocsin.js").Tocsin} tocsin @param {Preferences} preferences @param {string} name */
  #row(tocsin, preferences, name) {
    const { categories } = preferences;
    const before = categories[name];
    const box = make("input", { type: "checkbox", checked: (typeof before === "object" ? before.inbox : before) !== false });
    box.setAttribute("role", "switch");
    box.onchange = async () => {
      const was = categories[name];
      categories[name] = typeof was === "object" ? { ...was, inbox: box.checked } : box.checked;
      try {
        await tocsin.preferences(preferences);
      } catch {
        if (was === undefined) delete categories[name];
        else categories[name] = was;
        box.checked = !box.checked;
        this.#failed();
      }
    };
    return make("label", {}, make("span", {}, name), box);
  }
}
