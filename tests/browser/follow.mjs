/**
 * Follow a user and tell of it, a JSON line for each event: a program for tests.
 *
 *     node follow.mjs SERVER TOKEN DEVICE [REFUSE]
 *
 * The push whose title is REFUSE is refused the first time. Commands come as JSON lines.
 */

import { createInterface } from "node:readline";

import { Tocsin } from "../../tocsin/browser/client/index.js";

const [server, token, device, refuse] = process.argv.slice(2);
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const tocsin = new Tocsin(server, { token: () => token, device, storage: null });
let refused = false;

tocsin.on("state", ({ phase, reason, store, transport }) => tell({ event: "state", phase, reason, store, transport }));
tocsin.on("error", (error) => tell({ event: "error", text: String(error) }));
tocsin.on("push", ({ sequence, change, notification: { id, title } }) => {
  if (title === refuse && !refused) {
    refused = true;
    throw new Error("not yet");
  }
  tell({ event: "push", sequence, change, id, title });
});
tocsin.inbox.subscribe(({ notifications, unread, loaded }) =>
  tell({ event: "inbox", titles: notifications.map(({ title }) => title), states: notifications.map(({ state }) => state), unread, loaded }));
tocsin.connect();

const commands = {
  mark: async (state, ...ids) => tocsin.mark(state, ids),
  markAll: async () => tocsin.markAll(),
  loadMore: async () => tocsin.loadMore(),
  close: async () => tocsin.close(),
  forget: async () => tocsin.forget(),
};
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...parts] = JSON.parse(line);
  const failure = await commands[name](...parts).then(() => null, String);
  tell({ event: "done", name, failure });
}
tocsin.close();
