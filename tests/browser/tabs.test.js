/** Tabs that share a connection, with a server that is played, and locks as a browser keeps them. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Tocsin } from "../../tocsin/browser/client/tocsin.js";

/** `navigator.locks` for the tabs of one process: who holds a name, and who waits for it. */
class Locks {
  #queue = Promise.resolve();

  request(_name, { signal }, hold) {
    const turn = this.#queue.then(() => (signal.aborted ? undefined : hold()));
    this.#queue = turn.catch(() => {});
    return turn;
  }
}

/** A WebSocket whose other end is the test. */
class Socket {
  static OPEN = 1;
  static CONNECTING = 0;
  static all = [];
  readyState = 0;
  sent = [];

  constructor() {
    Socket.all.push(this);
    setTimeout(() => {
      this.readyState = 1;
      this.onopen();
    });
  }

  send(text) {
    const frame = JSON.parse(text);
    this.sent.push(frame);
    if (frame.type === "hello") {
      const cursor = frame.cursor ?? "e1.0";
      this.say({ type: "welcome", user: "ada", device: frame.device, cursor, heartbeat: 25, window: 64, unread: 0, unseen: 0 });
      this.say({ type: "synced", sequence: 0 });
    }
  }

  say(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  push(sequence, fields = {}) {
    const notification = { id: String(sequence), title: `no. ${sequence}`, state: "unseen" };
    this.say({ type: "push", sequence, previous: sequence - 1, change: "created", notification, unread: 1, unseen: 1, attempt: 1, ...fields });
  }

  close() {
    this.readyState = 3;
  }
}

const EMPTY = { notifications: [], next: null, unread: 0, unseen: 0, cursor: "e1.0" };

function storage() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, text) => void kept.set(key, text),
    removeItem: (key) => void kept.delete(key),
  };
}

const open = [];
let names = 0;

/** Tabs of one origin. */
function tabs(count) {
  Socket.all = [];
  names += 1;
  const shared = { locks: new Locks(), Channel: BroadcastChannel };
  const store = storage();
  return Array.from({ length: count }, () => {
    const tab = new Tocsin(`http://tocsin-${names}.test/`, {
      token: () => "token",
      storage: store,
      browser: shared,
      WebSocket: Socket,
      fetch: async () => new Response(JSON.stringify(EMPTY)),
    });
    tab.told = [];
    tab.on("push", ({ sequence }) => void tab.told.push(sequence));
    open.push(tab);
    return tab.connect();
  });
}

afterEach(() => {
  for (const tab of open.splice(0)) tab.close();
});

async function until(holds) {
  const deadline = Date.now() + 5000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `waited in vain for ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("all tabs are told by one connection, as one device", async () => {
  const [first, second, third] = tabs(3);
  await until(() => [first, second, third].every(({ state }) => state.phase === "connected"));
  Socket.all[0].push(1);
  await until(() => [first, second, third].every(({ told }) => told.length === 1));
  assert.equal(Socket.all.length, 1);
  assert.equal(third.inbox.current.unread, 1);
  assert.equal(new Set([first.device, second.device, third.device]).size, 1);
});

test("when the tab that has it closes, another goes on behind what was handled", async () => {
  const [first, second] = tabs(2);
  await until(() => second.state.phase === "connected");
  Socket.all[0].push(1);
  await until(() => second.told.length === 1);
  first.close();
  await until(() => Socket.all.length === 2 && Socket.all[1].sent.length > 0);
  assert.equal(Socket.all[1].sent[0].cursor, "e1.1");
  Socket.all[1].push(2);
  await until(() => second.told.length === 2);
  assert.deepEqual(second.told, [1, 2]);
  assert.deepEqual(first.told, [1]);
});

test("a push that the tab before had not acknowledged is not told again", async () => {
  const [first, second] = tabs(2);
  let finish;
  first.on("push", () => new Promise((resolve) => (finish = resolve)));
  await until(() => second.state.phase === "connected");
  Socket.all[0].push(1);
  await until(() => second.told.length === 1 && finish);
  first.close();
  await until(() => Socket.all.length === 2 && Socket.all[1].sent.length > 0);
  assert.equal(Socket.all[1].sent[0].cursor, "e1.0");
  Socket.all[1].push(1, { attempt: 2 });
  await until(() => Socket.all[1].sent.some(({ type }) => type === "ack"));
  assert.deepEqual(second.told, [1]);
  finish();
});

test("an end for good ends all tabs, and no other tries the same", async () => {
  const [first, second] = tabs(2);
  await until(() => second.state.phase === "connected");
  Socket.all[0].say({ type: "goodbye", code: 4409, reason: "replaced", reconnect: false });
  Socket.all[0].onclose({ code: 4409 });
  await until(() => second.state.phase === "stopped");
  assert.equal(second.state.reason, "replaced");
  assert.equal(first.state.phase, "stopped");
  assert.equal(Socket.all.length, 1);
  second.connect();
  await until(() => second.state.phase === "connected");
  assert.equal(Socket.all.length, 2);
});

test("a tab that comes later learns how the connection stands", async () => {
  const [first, second] = tabs(2);
  await until(() => first.state.phase === "connected");
  second.close();
  second.connect();
  await until(() => second.state.phase === "connected");
  assert.equal(Socket.all.length, 1);
});
