/** What a page keeps: the last inbox, for its user alone, and marks that were made offline. */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import { Tocsin } from "../../tocsin/browser/client/tocsin.js";

const item = (id, state = "unseen") => ({ id, title: `no. ${id}`, state });

function database() {
  const kept = new Map();
  return { kept, get: async (key) => kept.get(key), set: async (key, value) => void (value === undefined ? kept.delete(key) : kept.set(key, structuredClone(value))) };
}

/** A server with one inbox; `isAway` while nothing answers. */
class Server {
  isAway = false;
  refusal = null;
  marks = [];
  states = new Map([["a", "unseen"], ["b", "unseen"]]);

  fetch = async (address, { body } = {}) => {
    if (this.isAway) throw new TypeError("no network");
    if (address.endsWith("/mark")) {
      if (this.refusal !== null) return this.refusal();
      const { state, ids, all } = JSON.parse(body);
      this.marks.push(all ? [state, "all"] : [state, ...ids]);
      for (const id of ids ?? this.states.keys()) this.states.set(id, state);
      return Response.json({ changed: 1 });
    }
    const notifications = [...this.states].map(([id, state]) => item(id, state));
    const unread = notifications.filter(({ state }) => state !== "read").length;
    return Response.json({ notifications, next: null, unread, unseen: unread, cursor: "e1.2" });
  };

  get WebSocket() {
    const server = this;
    return class {
      static OPEN = 1;
      readyState = 0;
      constructor() {
        setTimeout(() => (server.isAway ? this.onerror() : this.open()));
      }
      open() {
        this.readyState = 1;
        this.onopen();
      }
      send(text) {
        const { type, device } = JSON.parse(text);
        if (type !== "hello") return;
        this.say({ type: "welcome", user: "ada", device, cursor: "e1.2", heartbeat: 25, unread: 2, unseen: 2 });
        this.say({ type: "synced", sequence: 2 });
      }
      say(frame) {
        this.onmessage({ data: JSON.stringify(frame) });
      }
      close() {}
    };
  }
}

const jwt = (sub) => `x.${btoa(JSON.stringify({ sub })).replaceAll("=", "")}.y`;

function page(server, kept, { user, token = jwt("ada"), ...options } = {}) {
  return new Tocsin("http://tocsin.test/", {
    token: async () => token,
    storage: null,
    device: "desk",
    random: () => 0.02,
    database: kept,
    fetch: server.fetch,
    WebSocket: server.WebSocket,
    ...(user === undefined ? {} : { user }),
    ...options,
  });
}

async function until(holds) {
  for (let left = 400; left > 0; left -= 1) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail(`waited in vain for ${holds}`);
}

const states = ({ inbox }) => inbox.current.notifications.map(({ state }) => state);

async function visited(server, kept, options) {
  const tocsin = page(server, kept, options).connect();
  await until(() => tocsin.inbox.current.loaded && kept.kept.size > 0);
  tocsin.close();
}

test("a page shows the last inbox at once, and then the server's", async () => {
  const [server, kept] = [new Server(), database()];
  await visited(server, kept);
  server.states.set("b", "read");
  const tocsin = page(server, kept, { user: "ada" }).connect();
  await sleep(1);
  assert.deepEqual([states(tocsin), tocsin.inbox.current.unread, tocsin.inbox.current.loaded], [["unseen", "unseen"], 2, false]);
  await until(() => tocsin.inbox.current.loaded);
  assert.deepEqual(states(tocsin), ["unseen", "read"]);
  tocsin.close();
});

test("without a network it shows the last inbox, by what the token says", async () => {
  const [server, kept] = [new Server(), database()];
  await visited(server, kept);
  server.isAway = true;
  const tocsin = page(server, kept).connect();
  await until(() => states(tocsin).length === 2);
  tocsin.close();
});

test("the kept state of another user is not shown", async () => {
  const [server, kept] = [new Server(), database()];
  await visited(server, kept);
  server.isAway = true;
  for (const options of [{ user: "bob" }, { token: jwt("bob") }, { token: "opaque" }]) {
    const tocsin = page(server, kept, options).connect();
    await sleep(30);
    assert.deepEqual(states(tocsin), []);
    tocsin.close();
  }
});

test("signing out removes what was kept", async () => {
  const [server, kept] = [new Server(), database()];
  await visited(server, kept);
  const tocsin = page(server, kept, { user: "ada" }).connect();
  await until(() => tocsin.inbox.current.loaded);
  await tocsin.forget();
  await sleep(400);
  assert.equal(kept.kept.size, 0);
});

test("a mark that was made offline is shown, kept through a reload, and sent later", async () => {
  const [server, kept] = [new Server(), database()];
  await visited(server, kept);
  server.isAway = true;
  const before = page(server, kept, { user: "ada" }).connect();
  await until(() => states(before).length === 2);
  await before.mark("read", "a");
  await before.mark("archived", "b");
  assert.deepEqual(states(before), ["read"]);
  await until(() => [...kept.kept.values()].some(({ marks }) => marks.length === 2));
  before.close();
  const after = page(server, kept, { user: "ada" }).connect();
  await until(() => states(after).length === 1);
  server.isAway = false;
  await until(() => server.marks.length === 2);
  assert.deepEqual(server.marks, [["read", "a"], ["archived", "b"]]);
  await until(() => [...kept.kept.values()].every(({ marks }) => marks.length === 0));
  after.close();
});

test("all means what was there, not what has come until it is sent", async () => {
  const [server, kept] = [new Server(), database()];
  const tocsin = page(server, kept).connect();
  await until(() => tocsin.inbox.current.loaded);
  server.isAway = true;
  await tocsin.markAll();
  server.isAway = false;
  server.states.set("c", "unseen");
  await tocsin.mark("read", "b");
  await tocsin.close();
  tocsin.connect();
  await until(() => server.marks.length === 2);
  assert.deepEqual(server.marks, [["read", "a", "b"], ["read", "b"]]);
  tocsin.close();
});

test("a mark that the server refuses later is told, and holds up no other", async () => {
  const [server, kept] = [new Server(), database()];
  const tocsin = page(server, kept).connect();
  await until(() => tocsin.inbox.current.loaded);
  const told = [];
  tocsin.on("error", ({ code }) => told.push(code));
  server.isAway = true;
  await tocsin.mark("read", "a");
  await tocsin.mark("read", "b");
  server.isAway = false;
  server.refusal = () => {
    server.refusal = null;
    return Response.json({ code: "invalid", detail: "no" }, { status: 422 });
  };
  tocsin.close();
  tocsin.connect();
  await until(() => server.marks.length === 1);
  assert.deepEqual([told, server.marks], [["invalid"], [["read", "b"]]]);
  tocsin.close();
});
