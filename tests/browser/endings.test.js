/** Each call of the client that meets a connection which has just ended, or never answers. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Api } from "../../tocsin/browser/client/api.js";
import { Follower } from "../../tocsin/browser/client/follower.js";
import { Line } from "../../tocsin/browser/client/line.js";
import { openSocket } from "../../tocsin/browser/client/socket.js";
import { Tocsin } from "../../tocsin/browser/client/tocsin.js";
import { Ways } from "../../tocsin/browser/client/ways.js";

const BASE = new URL("http://node.invalid/");
const never = () => new Promise(() => {});

/** A WebSocket that does what the test says, and keeps what was sent while it was open. */
class FakeSocket {
  static OPEN = 1;
  static all = [];
  readyState = 0;
  sent = [];

  constructor() {
    FakeSocket.all.push(this);
  }

  opens() {
    this.readyState = 1;
    this.onopen();
  }

  ends(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  send(text) {
    assert.equal(this.readyState, 1, "a socket that is not open takes nothing");
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 2;
  }
}

const listener = () => {
  const told = [];
  return { told, opened: () => told.push("opened"), heard: (text) => told.push(text), closed: (...end) => told.push(end) };
};

test("a frame for a socket that has ended a moment ago is no error", () => {
  const connection = openSocket(BASE, listener(), FakeSocket);
  const socket = FakeSocket.all.at(-1);
  connection.send({ type: "ping" });
  socket.opens();
  connection.send({ type: "ping" });
  for (const state of [2, 3]) {
    socket.readyState = state;
    connection.send({ type: "ack", sequence: 1 });
  }
  assert.deepEqual(socket.sent, [{ type: "ping" }]);
});

test("the end is told once, with the words of the close frame, and nothing behind it", () => {
  const hears = listener();
  openSocket(BASE, hears, FakeSocket);
  const socket = FakeSocket.all.at(-1);
  socket.opens();
  socket.ends(4409, "replaced");
  socket.onerror();
  socket.onmessage({ data: "{}" });
  socket.ends(1006);
  assert.deepEqual(hears.told, ["opened", [4409, true, false, "replaced"]]);
});

/** A line whose ends are the test's; `news` has what it became. */
function newLine(t, ends = {}) {
  const news = [];
  const line = new Line(new Follower({ device: "desk", random: () => 1 }), {
    server: BASE,
    token: () => "token",
    WebSocket: FakeSocket,
    fetch: never,
    ways: new Ways("key", null),
    became: (each) => news.push(each),
    heard: () => {},
    moved: () => {},
    ...ends,
  });
  t.after(() => line.close());
  return { line, news };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a socket that the page may not open is waited for as one that failed", async (t) => {
  class Forbidden {
    constructor() {
      throw new DOMException("mixed content", "SecurityError");
    }
  }
  const { line, news } = newLine(t, { WebSocket: Forbidden });
  line.open();
  await turn();
  assert.deepEqual(news.map(({ phase, reason }) => [phase, reason]), [["connecting", undefined], ["waiting", "unreachable"]]);
});

test("a server that closes in the handshake is waited for", async (t) => {
  const { line, news } = newLine(t);
  line.open();
  await turn();
  FakeSocket.all.at(-1).ends(1006);
  assert.equal(news.at(-1).phase, "waiting");
});

for (const [what, ends] of [["a token", { token: never }], ["a socket", {}]]) {
  test(`${what} that never comes is given up`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
    let seconds = performance.now() / 1000;
    t.mock.method(performance, "now", () => seconds * 1000);
    const { line, news } = newLine(t, ends);
    line.open();
    await turn();
    seconds += 16;
    t.mock.timers.tick(16_000);
    assert.deepEqual([news.at(-1).phase, news.at(-1).reason], ["waiting", "silent"]);
  });
}

test("a handler that throws what no text can be made of is refused, and the next one is told", async (t) => {
  const tocsin = new Tocsin(BASE, { token: () => "token", storage: null, WebSocket: FakeSocket, fetch: async () => new Response("{}", { status: 503 }) });
  t.after(() => tocsin.close());
  const told = [];
  tocsin.on("push", ({ sequence }) => {
    told.push(sequence);
    if (sequence === 1) throw Object.create(null);
  });
  tocsin.connect();
  await turn();
  const socket = FakeSocket.all.at(-1);
  const hears = (frame) => socket.onmessage({ data: JSON.stringify(frame) });
  socket.opens();
  hears({ type: "welcome", user: "ada", device: "web", cursor: "e.0", unread: 0, unseen: 0 });
  for (const sequence of [1, 2]) {
    const notification = { id: String(sequence), title: "t", state: "unseen" };
    hears({ type: "push", sequence, previous: sequence - 1, change: "created", notification, unread: 1, unseen: 1 });
  }
  await turn();
  assert.deepEqual(told, [1, 2]);
  const refusals = socket.sent.filter(({ type }) => type === "nack");
  assert.deepEqual(refusals, [{ type: "nack", id: "1", reason: "refused" }]);
  socket.ends(4000, "draining");
  await assert.rejects(tocsin.loadMore().then(() => tocsin.preferences()), { code: "unknown", status: 503 });
  tocsin.close();
  tocsin.close();
});

test("an inbox that could not be read is asked for again, while the connection is there", async (t) => {
  const page = { notifications: [], next: null, unread: 0, unseen: 0, cursor: "e.0" };
  const answers = [new Response("{}", { status: 503, headers: { "Retry-After": "0.01" } }), Response.json(page)];
  const tocsin = new Tocsin(BASE, { token: () => "token", storage: null, WebSocket: FakeSocket, fetch: async () => answers.shift() });
  t.after(() => tocsin.close());
  const loaded = new Promise((resolve) => tocsin.inbox.subscribe((snapshot) => snapshot.loaded && resolve(snapshot)));
  tocsin.connect();
  await turn();
  const socket = FakeSocket.all.at(-1);
  socket.opens();
  socket.onmessage({ data: JSON.stringify({ type: "welcome", user: "ada", device: "web", cursor: "e.0", unread: 0, unseen: 0 }) });
  assert.equal((await loaded).loaded, true);
});

// --- calls over HTTP ------------------------------------------------------------------------------

const cut = () => new Response(new ReadableStream({ start: (stream) => stream.error(new TypeError("cut")) }));
for (const [what, token, fetch] of [
  ["a token that cannot be had", () => Promise.reject(new TypeError("offline")), never],
  ["a token function that throws", () => { throw new Error("signed out"); }, never],
  ["no network", () => "t", () => Promise.reject(new TypeError("offline"))],
  ["an answer that is cut", () => "t", async () => cut()],
  ["a captive portal", () => "t", async () => new Response("<html>Please sign in</html>")],
]) {
  test(`a call that meets ${what} may be made again`, async () => {
    const api = new Api(BASE, token, fetch);
    await assert.rejects(api.call("POST", "v1/inbox/mark", {}), { name: "ApiError", code: "unreachable", isPassing: true });
  });
}

test("a call that is never answered ends", async (t) => {
  const signals = [];
  t.mock.method(AbortSignal, "timeout", (milliseconds) => {
    signals.push(milliseconds);
    return AbortSignal.abort(new DOMException("late", "TimeoutError"));
  });
  const api = new Api(BASE, () => "t", (_, { signal }) => new Promise((_resolve, reject) => void reject(signal.reason)));
  await assert.rejects(api.call("GET", "v1/inbox"), { code: "unreachable" });
  assert.deepEqual(signals, [35_000]);
});
