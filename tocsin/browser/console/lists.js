/**
 * Lists of what waits for an operator: dead letters, the spool, webhooks, channels, and the actors.
 * @module
 */
import { make } from "../inbox/dom.js";
import { ask } from "./api.js";
import { badge, button, danger, empty, facts, failure, heading, link, table, toNotification } from "./parts.js";
import { ago, count, counted } from "./words.js";

/** @param {HTMLElement} place @param {AbortSignal} signal @param {string} [user] */
export async function showLetters(place, signal, user) {
  const again = () => showLetters(place, signal, user);
  const found = await ask(`/v1/admin/dead-letters?limit=200${user ? `&user=${encodeURIComponent(user)}` : ""}`, { signal });
  const settle = (/** @type {any} */ each) =>
    make(
      "span",
      { class: "actions" },
      button("Replay", async () => (await ask(`/v1/admin/dead-letters/${each.id}/replay`, { method: "POST" }), again())),
      danger("Discard", async () => (await ask(`/v1/admin/dead-letters/${each.id}`, { method: "DELETE" }), again()), "Discard this letter? It is delivered to nobody."),
    );
  const rows = found.dead_letters.map((/** @type {any} */ each) => [
    each.user === null ? "–" : link(each.user, `#/users/${encodeURIComponent(each.user)}`),
    each.device ?? each.channel ?? each.webhook ?? each.connector ?? "every device",
    each.notification === null ? each.place ?? "–" : toNotification(each.notification),
    `${each.cause}: ${each.reason}`,
    count(each.attempts),
    ago(each.dead_at),
    settle(each),
  ]);
  place.replaceChildren(
    heading(user ? `Dead letters of ${user}` : "Dead letters", ...(rows.length > 1 ? bulk(found.dead_letters, again) : [])),
    make("p", { class: "about" }, "What was sent again and again and never acknowledged, or expired before any device had it."),
    table(["user", "device", "notification", "why", "#sent", "since", ""], rows, user ? `No dead letters of ${user}.` : "No dead letters."),
    ...(user ? [make("p", {}, link("Dead letters of all users", "#/letters"))] : []),
    ...(found.next ? [make("p", { class: "nothing" }, "There are more; settle these first, or use the API.")] : []),
  );
}

/**
 * Settle all letters that are shown, after a question that says what will be done.
 * @param {any[]} letters @param {() => Promise<void>} again
 */
function bulk(letters, again) {
  const users = new Set(letters.map(({ user }) => user ?? "a broker")).size;
  const causes = Object.entries(Object.groupBy(letters, ({ cause }) => cause)).map(([cause, each]) => `${each?.length} by ${cause}`);
  const what = `${counted(letters.length, "letter")} of ${counted(users, "user")} (${causes.join(", ")})`;
  const told = make("span", { role: "status" });
  /** @param {(id: number) => Promise<unknown>} settle */
  const each = (settle) => async () => {
    try {
      for (const [at, { id }] of letters.entries()) {
        await settle(id);
        told.textContent = `${count(at + 1)} of ${count(letters.length)}`;
      }
    } finally {
      await again();
    }
  };
  return [
    told,
    button("Replay all shown", each((id) => ask(`/v1/admin/dead-letters/${id}/replay`, { method: "POST" })), `Replay ${what}? Each is sent to its device again.`),
    danger("Discard all shown", each((id) => ask(`/v1/admin/dead-letters/${id}`, { method: "DELETE" })), `Discard ${what}? They are delivered to nobody.`),
  ];
}

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function showConnectors(place, signal) {
  const { connectors, node } = await ask("/v1/admin/connectors", { signal });
  const rows = connectors.map((/** @type {any} */ each) => [
    each.name,
    each.kind,
    badge(each.state),
    count(each.taken),
    count(each.refused),
    each.lag === null ? "-" : count(each.lag),
    each.reason ?? "",
  ]);
  place.replaceChildren(
    heading("Connectors", button("Refresh", () => showConnectors(place, signal))),
    make("p", { class: "about" }, `What node ${node} takes from brokers.`),
    table(["connector", "broker", "state", "#taken", "#refused", "#lag", "why"], rows, "No connector is configured (docs/connectors.md)."),
  );
}

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function showSpool(place, signal) {
  const again = () => showSpool(place, signal);
  const { hops } = await ask("/readyz", { signal });
  if (hops.spool === undefined) {
    const why = "There is no spool, since this node has no Redis: while the store is away, posts are refused with 503.";
    place.replaceChildren(heading("Spool"), empty(why));
    return;
  }
  const found = await ask("/v1/admin/spool", { signal });
  const rows = found.poisoned.map((/** @type {any} */ each) => [
    each.entry,
    each.reason,
    make("code", {}, each.payload.slice(0, 200)),
    make(
      "span",
      { class: "actions" },
      button("Try again", async () => (await ask(`/v1/admin/spool/${each.entry}/replay`, { method: "POST" }), again())),
      danger("Discard", async () => (await ask(`/v1/admin/spool/${each.entry}`, { method: "DELETE" }), again()), "Discard this post? It is stored nowhere else."),
    ),
  ]);
  place.replaceChildren(
    heading("Spool", button("Refresh", again)),
    make("p", { class: "about" }, "Posts that were taken while the store was away. They go back to it by themselves."),
    facts([["can be used", found.available ? "yes" : "no"], ["posts that wait", count(found.entries)]]),
    make("h2", {}, "Put aside"),
    table(["entry", "why", "what", ""], rows, "Nothing was put aside."),
  );
}

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function showWebhooks(place, signal) {
  const again = () => showWebhooks(place, signal);
  const found = await ask("/v1/webhooks", { signal });
  const act = (/** @type {any} */ each, /** @type {string} */ what) => async () => {
    await ask(`/v1/webhooks/${each.id}/${what}`, { method: "POST" });
    await again();
  };
  const rows = found.webhooks.map((/** @type {any} */ each) => [
    each.url,
    badge(each.state),
    count(each.behind ?? 0),
    make("span", { class: "actions" }, button("Test", act(each, "test")), each.state === "enabled" ? button("Pause", act(each, "pause")) : button("Enable", act(each, "enable"))),
  ]);
  place.replaceChildren(
    heading("Webhooks", button("Refresh", again)),
    make("p", { class: "about" }, "Where receipts go: delivered, read, expired, dead. A receiver that is away gets them later, in order."),
    table(["receiver", "state", "#behind", ""], rows, "No webhook was made. POST /v1/webhooks makes one."),
  );
}

/** @param {HTMLElement} place @param {AbortSignal} signal */
export async function showChannels(place, signal) {
  const found = await ask("/v1/admin/channels", { signal });
  const rows = found.channels.map((/** @type {any} */ each) => [
    each.name,
    each.kind,
    badge(each.state),
    count(each.waiting),
    Object.entries(each.outcomes).map(([name, times]) => `${times} ${name}`).join(", "),
    each.last_error ?? "",
  ]);
  place.replaceChildren(
    heading("Channels", button("Refresh", () => showChannels(place, signal))),
    make("p", { class: "about" }, `Ways to people when no device answers, as node ${found.node} sees them.`),
    table(["channel", "kind", "state", "#waiting", "sends", "last error"], rows, "No channel is configured (docs/channels.md)."),
  );
}

/** @param {HTMLElement} place @param {AbortSignal} signal @param {string} [node] this one, if none is named */
export async function showActors(place, signal, node) {
  const found = await ask(`/v1/admin/actors?limit=100${node ? `&node=${encodeURIComponent(node)}` : ""}`, { signal });
  const others = found.nodes.map((/** @type {string} */ each) => make("a", { href: `#/actors/${encodeURIComponent(each)}`, ...(each === found.node ? { "aria-current": "true" } : {}) }, each));
  place.replaceChildren(
    heading("Actors", button("Refresh", () => showActors(place, signal, node))),
    make("p", { class: "about" }, `The supervision tree of ${found.node}: messages that wait, restarts, and the last error of each.`),
    ...(others.length > 1 ? [make("nav", { class: "choice", "aria-label": "Nodes" }, ...others)] : []),
    make("ul", { class: "tree" }, ...found.actors.map((/** @type {any} */ each) => branch(each, ""))),
  );
}

/** @param {any} actor @param {string} parent the path of its supervisor @returns {HTMLElement} */
function branch(actor, parent) {
  const { waiting, capacity } = actor.mailbox;
  const children = actor.child_count === 0 ? [] : [make("span", { class: "count" }, count(actor.child_count))];
  const line = [
    make("span", { class: "path" }, actor.path.slice(parent.length), ...children),
    make("span", { class: "restarts" }, actor.restarts ? badge(counted(actor.restarts, "restart")) : ""),
    make("meter", { max: Math.max(1, capacity), value: waiting, title: `${waiting} of ${capacity} messages wait`, "aria-label": "Messages that wait" }),
    make("span", { class: "number" }, count(waiting)),
    ...(actor.last_error ? [make("span", { class: "failure" }, actor.last_error)] : []),
  ];
  if (actor.child_count === 0) return make("li", {}, make("div", { class: "actor" }, ...line));
  const left = actor.child_count - actor.children.length;
  const inner = make("ul", {}, ...actor.children.map((/** @type {any} */ each) => branch(each, actor.path)), ...(left > 0 ? [make("li", { class: "nothing" }, `and ${count(left)} more`)] : []));
  return make("li", {}, make("details", {}, make("summary", { class: "actor" }, ...line), inner));
}

/** @param {HTMLElement} place */
export async function showSend(place) {
  const told = make("p", { role: "status" });
  const field = (/** @type {string} */ label, /** @type {string} */ name, /** @type {object} */ more = {}) =>
    make("label", {}, label, make("input", { name, autocomplete: "off", ...more }));
  const form = make(
    "form",
    { class: "send" },
    field("To the user", "user", { required: true }),
    field("Title", "title", { required: true, value: "Test" }),
    field("Body", "body"),
    field("Category", "category", { value: "test" }),
    make("button", {}, "Send"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { user, title, body, category } = Object.fromEntries(new FormData(form));
    try {
      const sent = await ask("/v1/notifications", { method: "POST", body: { to: { users: [user] }, title, category, ...(body ? { body } : {}) } });
      told.replaceChildren("Sent: ", link("see it travel", `#/notifications/${sent.id}`));
    } catch (error) {
      told.replaceChildren(failure(error));
    }
  });
  place.replaceChildren(heading("Send"), make("p", { class: "about" }, "A notification to one user, to see that it arrives. The key needs the scope notify."), form, told);
}
