/** Which way the client takes to a server, and how it finds back to the WebSocket. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Follower } from "../../tocsin/browser/client/follower.js";
import { Line } from "../../tocsin/browser/client/line.js";
import { Ways } from "../../tocsin/browser/client/ways.js";

function storage() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, text) => void kept.set(key, text),
    removeItem: (key) => void kept.delete(key),
  };
}

test("a WebSocket that fails twice in a row is given up, and once is chance", () => {
  const ways = new Ways("key", null);
  ways.failed(false);
  ways.worked();
  ways.failed(false);
  assert.equal(ways.next, "websocket");
  ways.failed(false);
  assert.equal(ways.next, "stream");
});

test("where events do not flow, the next way is to poll", () => {
  const ways = new Ways("key", null);
  for (const _ of "123") ways.failed(false);
  assert.equal(ways.next, "poll");
  ways.failed(false);
  assert.equal(ways.next, "websocket");
});

test("a server that is down says nothing about the way", () => {
  const ways = new Ways("key", null);
  for (const _ of "123") ways.failed(true);
  assert.equal(ways.next, "websocket");
});

test("a way that has worked is stayed on while the server is down, for a while", () => {
  for (const [seconds, next] of [[300, "stream"], [-1, "websocket"]]) {
    const ways = new Ways("key", null, seconds);
    for (const _ of "12") ways.failed(false);
    ways.worked();
    ways.failed(true);
    assert.equal(ways.next, next);
  }
});

test("the choice is kept for the origin, and not for ever", () => {
  const store = storage();
  const ways = new Ways("key", store);
  for (const _ of "12") ways.failed(false);
  assert.equal(new Ways("key", store).next, "websocket");
  ways.worked();
  assert.equal(new Ways("key", store).next, "stream");
  assert.equal(new Ways("other", store).next, "websocket");
  ways.reset();
  ways.worked();
  assert.equal(new Ways("key", store).next, "websocket");
  const hasty = new Ways("key", store, -1);
  for (const _ of "12") hasty.failed(false);
  hasty.worked();
  assert.equal(new Ways("key", store).next, "websocket");
});

test("a kept value that is no choice is as if there was none", () => {
  const store = storage();
  for (const text of ["garbage", "null", '{"way":"pigeon","until":9e15}', '{"way":"stream"}']) {
    store.setItem("key:way", text);
    assert.equal(new Ways("key", store).next, "websocket");
  }
});

test("from another way the WebSocket is tried again, and taken when it opens", async () => {
  let isBroken = true;
  class Socket {
    static OPEN = 1;
    readyState = 0;
    constructor() {
      setTimeout(() => (isBroken ? this.onerror() : this.#open()));
    }
    #open() {
      this.readyState = 1;
      this.onopen();
    }
    send(text) {
      if (JSON.parse(text).type === "hello") this.onmessage({ data: JSON.stringify(WELCOME) });
    }
    close() {}
  }
  const WELCOME = { type: "welcome", user: "ada", device: "desk", cursor: "e1.0", epoch: "e1", heartbeat: 25 };
  const events = `event: welcome\ndata: ${JSON.stringify(WELCOME)}\n\n`;
  const fetch = async (_, { signal }) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(events));
        signal.onabort = () => controller.error(signal.reason);
      },
    });
    return new Response(body);
  };
  const taken = [];
  const connected = Promise.withResolvers?.() ?? deferred();
  const line = new Line(new Follower({ device: "desk", random: () => 0 }), {
    server: new URL("http://tocsin.test/"),
    token: () => "token",
    WebSocket: Socket,
    fetch,
    ways: new Ways("key", null, 0.1),
    heard: () => {},
    moved: () => {},
    became: ({ phase, transport }) => {
      if (phase !== "connected") return;
      taken.push(transport);
      isBroken = false;
      if (transport === "websocket") connected.resolve();
    },
  });
  line.open();
  await connected.promise;
  line.close();
  assert.deepEqual(taken, ["stream", "websocket"]);
});

function deferred() {
  let resolve;
  const promise = new Promise((done) => void (resolve = done));
  return { promise, resolve };
}
