/**
 * A user, and why a device of theirs does not have a notification; and a notification's life.
 * @module
 */
import { make } from "../inbox/dom.js";
import { ask } from "./api.js";
import { live } from "./live.js";
import { badge, button, danger, facts, failure, heading, link, table, toNotification, withTimes } from "./parts.js";
import { ago, count } from "./words.js";

/** @param {string} label @param {string} value @param {(text: string) => void} go */
function lookup(label, value, go) {
  const input = make("input", { name: "id", value, required: true, autocomplete: "off", spellcheck: false, "aria-label": label });
  const form = make("form", { class: "lookup" }, make("label", {}, label, input), make("button", {}, "Show"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(input.value.trim());
  });
  return form;
}

/** @param {string} text */
const goTo = (text) => {
  location.hash = text;
};

/** Notifications of a user that are shown. */
const LATEST_MAX = 10;

/** @param {HTMLElement} place @param {AbortSignal} signal @param {string} [user] */
export async function showUser(place, signal, user) {
  const title = make("div", {}, heading("Users"));
  place.replaceChildren(title, lookup("User's id", user ?? "", (id) => goTo(`#/users/${encodeURIComponent(id)}`)));
  if (!user) return;
  const at = `/v1/admin/users/${encodeURIComponent(user)}`;
  const [found, inbox] = await Promise.all([ask(at, { signal }), ask(`${at}/inbox?state=all&limit=${LATEST_MAX}`, { signal })]);
  const latest = table(
    ["notification", "title", "category", "state", "posted", ""],
    inbox.notifications.map((/** @type {any} */ each) => [
      toNotification(each.id),
      each.title,
      each.category,
      badge(each.state),
      ago(each.created_at),
      make("span", { class: "actions" }, button("Why?", () => tellWhy(each.id))),
    ]),
    "Nothing is in this user's inbox.",
  );
  const devices = table(
    ["device", "where", "last seen", "#acknowledged", "#behind"],
    found.devices.map((/** @type {any} */ each) => [
      each.device,
      each.node ? `on ${each.node}, ${ago(each.since)}` : "not connected",
      ago(each.last_seen),
      count(each.acknowledged),
      each.behind ? make("strong", {}, count(each.behind)) : "0",
    ]),
    "No device of this user is known.",
  );
  const answer = make("section", { "aria-live": "polite" });
  const happening = make("section", { class: "live" });
  void live(happening, signal, user);
  /** @param {string} id */
  async function tellWhy(id) {
    try {
      const said = await ask(`${at}/explain?notification=${encodeURIComponent(id)}`, { signal });
      answer.replaceChildren(
        make("p", { class: "says" }, ...withTimes(said.says)),
        ...said.devices.map((/** @type {any} */ each) => make("p", {}, make("strong", {}, each.device), ": ", ...withTimes(each.says))),
        link("The life of this notification", `#/notifications/${encodeURIComponent(id)}`),
      );
    } catch (error) {
      answer.replaceChildren(failure(error));
    }
    answer.scrollIntoView({ block: "nearest" });
  }
  title.replaceChildren(
    heading(
      user,
      make("a", { class: "button", href: `#/letters/${encodeURIComponent(user)}` }, "Dead letters"),
      danger("End all connections", () => ask(`${at}/disconnect`, { method: "POST" }), `End all connections of ${user}? Their clients do not come back by themselves.`),
    ),
  );
  place.append(
    facts([["changes in the log", count(found.head)], ["unread", count(found.unread)], ["unseen", count(found.unseen)]]),
    make("h2", {}, "Devices"),
    ...(found.presence_known ? [] : [make("p", { class: "unusual" }, "The other nodes cannot be asked who is connected.")]),
    devices,
    make("h2", {}, inbox.next === null ? "Inbox" : `Inbox: the latest ${LATEST_MAX}`),
    latest,
    make("h2", {}, "Why does a device not have it?"),
    lookup("Notification's id", "", tellWhy),
    answer,
    happening,
  );
}

/** Steps of a timeline; more would be a ledger. */
const STEPS_MAX = 40;

/**
 * What happened to a notification, in the order of time, as far as the store has it.
 * @param {any} notification @param {any[]} deliveries
 */
export function stepsOf(notification, deliveries) {
  /** @type {[string, string][]} */
  const steps = [[notification.created_at, "posted"]];
  if (notification.deliver_at) steps.push([notification.deliver_at, "due"]);
  if (notification.revision > 1) steps.push([notification.updated_at, `changed, to revision ${notification.revision}`]);
  for (const { user, device, attempts, first_sent_at: sent, acknowledged_at: acknowledged, outcome, reason } of deliveries) {
    const who = `${device} of ${user}`;
    steps.push([sent, attempts > 1 ? `sent to ${who}, then ${attempts - 1} times more` : `sent to ${who}`]);
    if (acknowledged) steps.push([acknowledged, `acknowledged by ${who}`]);
    else if (outcome === "dead") steps.push([sent, `given up for ${who}: ${reason ?? "no answer"}`]);
  }
  return steps.filter(([at]) => at).sort(([one], [other]) => (one < other ? -1 : Number(one > other)));
}

/** @param {any} notification @param {any[]} deliveries */
function timeline(notification, deliveries) {
  const steps = stepsOf(notification, deliveries);
  const shown = steps.slice(0, STEPS_MAX).map(([at, what]) => make("li", {}, make("time", { dateTime: at, title: at }, at.slice(11, 23)), what));
  const more = steps.length > STEPS_MAX ? [make("li", { class: "nothing" }, `and ${count(steps.length - STEPS_MAX)} more in the ledger`)] : [];
  return make("ol", { class: "timeline" }, ...shown, ...more);
}

/** @param {HTMLElement} place @param {AbortSignal} signal @param {string} [id] */
export async function showNotification(place, signal, id) {
  const title = make("div", {}, heading("Notifications"));
  place.replaceChildren(title, lookup("Notification's id", id ?? "", (text) => goTo(`#/notifications/${encodeURIComponent(text)}`)));
  if (!id) return;
  const at = `/v1/notifications/${encodeURIComponent(id)}`;
  const [found, ledger] = await Promise.all([ask(at, { signal }), ask(`${at}/deliveries?limit=200`, { signal })]);
  const { counts } = found;
  const funnel = make(
    "ol",
    { class: "funnel" },
    ...["recipients", "delivered", "seen", "read"].map((name) => {
      const step = make("li", {}, make("span", {}, name), make("meter", { max: Math.max(1, counts.recipients), value: counts[name] }), make("strong", {}, count(counts[name])));
      return step;
    }),
  );
  const rows = ledger.deliveries.map((/** @type {any} */ each) => [
    link(each.user, `#/users/${encodeURIComponent(each.user)}`),
    each.device,
    badge(each.outcome),
    count(each.attempts),
    ago(each.first_sent_at),
    each.acknowledged_at ? ago(each.acknowledged_at) : (each.reason ?? ""),
  ]);
  title.replaceChildren(heading(found.title, danger("Withdraw", async () => (await ask(at, { method: "DELETE" }), showNotification(place, signal, id)), "Withdraw it from all devices?")));
  place.append(
    make("p", { class: "line" }, badge(found.state), ` ${found.category} · ${found.priority} · revision ${found.revision} · posted ${ago(found.created_at)}`),
    funnel,
    make("h2", {}, "Timeline"),
    timeline(found, ledger.deliveries),
    make("h2", {}, "Ledger"),
    table(["user", "device", "outcome", "#sent", "first", "acknowledged"], rows, "No device was sent it yet."),
    ...(ledger.next ? [make("p", { class: "nothing" }, "There is more; the API has all of it.")] : []),
  );
}
