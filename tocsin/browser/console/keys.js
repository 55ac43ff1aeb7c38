/**
 * API keys: the list, a new one, which is shown once, and the end of one.
 * @module
 */
import { make } from "../inbox/dom.js";
import { ask } from "./api.js";
import { badge, danger, failure, heading, table } from "./parts.js";
import { ago } from "./words.js";

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function showKeys(place, signal) {
  const again = () => showKeys(place, signal);
  const { keys } = await ask("/v1/admin/keys", { signal });
  const rows = keys.map((/** @type {any} */ each) => [
    make("code", {}, `tk_${each.id}_…`),
    each.name || "-",
    each.scopes.join(", "),
    ago(each.created_at),
    each.revoked_at === null ? badge("in force") : badge("revoked"),
    each.revoked_at === null
      ? danger("Revoke", async () => (await ask(`/v1/admin/keys/${each.id}`, { method: "DELETE" }), again()), `Revoke the key ${each.name || each.id}, for good? Programs that use it are refused within five seconds.`)
      : "",
  ]);
  place.replaceChildren(
    heading("Keys"),
    make("p", { class: "about" }, "API keys are for programs that post (notify) or operate (admin). The text of a key is kept nowhere."),
    form(again),
    table(["key", "for", "scopes", "made", "state", ""], rows, "No API key was made."),
  );
}

/** @param {() => Promise<void>} again */
function form(again) {
  const name = make("input", { name: "name", maxLength: 100, autocomplete: "off" });
  const boxes = ["notify", "admin"].map((scope) => {
    const box = make("input", { type: "checkbox", name: "scopes", value: scope, checked: scope === "notify" });
    return make("label", { class: "check" }, box, scope);
  });
  const told = make("div", { class: "told", "aria-live": "polite" });
  const made = make("form", { class: "lookup" }, make("label", {}, "For", name), ...boxes, make("button", {}, "Make a key"));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = { name: name.value.trim(), scopes: new FormData(made).getAll("scopes") };
      const { text } = await ask("/v1/admin/keys", { method: "POST", body });
      await again();
      const shown = document.querySelector(".told");
      shown?.replaceChildren(make("p", {}, "This is the only time that it is shown:"), make("pre", { tabIndex: 0 }, make("code", {}, text)));
    } catch (error) {
      told.replaceChildren(failure(error));
    }
  });
  return make("div", {}, made, told);
}
