/** The follower, told what a server says and what time it is: what it shows and acknowledges. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ACK_DELAY, ACK_IDS_MAX, PONG_TIMEOUT, REFRESH_BEFORE } from "../../tocsin/browser/client/follower.js";
import { Conversation, sent, sequences, shown } from "./kit.js";

// --- hello and welcome ----------------------------------------------------------------------------

test("the first hello leaves the start to the server", () => {
  const hello = new Conversation({ client: "us" }).opens();
  assert.deepEqual(hello, { type: "hello", client: "us", device: "desk", token: "token" });
});

test("a cursor that was kept is in the first hello", () => {
  assert.equal(new Conversation({ cursor: "e1.7" }).opens().cursor, "e1.7");
});

test("the next hello goes on behind what was handled, not behind what was shown", () => {
  const talk = new Conversation().live("e1.4");
  talk.takesPush(5);
  talk.hearsPush(6);
  talk.follower.closed(undefined);
  assert.equal(talk.opens().cursor, "e1.5");
});

test("a credential without an inbox is no use", () => {
  const talk = new Conversation();
  talk.opens();
  assert.deepEqual(talk.hearsWelcome("e1.0", { user: null }), [{ do: "stop", reason: "no_inbox" }]);
});

test("something else than Tocsin is left", () => {
  for (const text of ["hi", "[]", "null", "{}", '{"type": 7}']) {
    const talk = new Conversation();
    talk.opens();
    assert.equal(talk.follower.heard(text, talk.now)[0].do, "stop", text);
  }
});

test("frames and fields of a later server are passed over", () => {
  const talk = new Conversation().live();
  assert.deepEqual(talk.hears("weather", { rain: true }), []);
  assert.deepEqual(sequences(talk.hearsPush(1, { shiny: true })), [1]);
});

// --- pushes ---------------------------------------------------------------------------------------

test("a push is shown, and acknowledged a moment after it was handled", () => {
  const talk = new Conversation().live();
  const actions = talk.hearsPush(1);
  assert.deepEqual(sequences(actions), [1]);
  assert.deepEqual(sent(talk.passes(1)), [], "not handled yet");
  const [push] = shown(actions);
  assert.deepEqual(talk.follower.handled(push, talk.now), []);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 1 }]);
});

test("many pushes are acknowledged by one frame", () => {
  const talk = new Conversation().live();
  for (let sequence = 1; sequence <= 20; sequence += 1) talk.takesPush(sequence);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 20 }]);
});

test("half a window is acknowledged at once, so that the server need not pause", () => {
  const talk = new Conversation();
  talk.opens();
  talk.hearsWelcome("e1.0", { window: 4 });
  talk.takesPush(1);
  assert.deepEqual(sent(talk.takesPush(2)), [{ type: "ack", sequence: 2 }]);
});

test("a push that comes again is acknowledged again and not shown again", () => {
  const talk = new Conversation().live();
  talk.takesPush(1);
  talk.passes(ACK_DELAY);
  assert.deepEqual(talk.hearsPush(1, { attempt: 2 }), []);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 1 }]);
});

test("a push that comes again while it is being handled is not shown again", () => {
  const talk = new Conversation().live();
  const [push] = shown(talk.hearsPush(1));
  assert.deepEqual(talk.hearsPush(1, { attempt: 2 }), []);
  talk.follower.handled(push, talk.now);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 1 }]);
});

test("a push that is being handled when the connection is lost is not shown on the next", () => {
  const talk = new Conversation().live();
  const [push] = shown(talk.hearsPush(1));
  talk.follower.closed(undefined);
  talk.opens();
  talk.hearsWelcome("e1.0");
  assert.deepEqual(talk.hearsPush(1, { attempt: 2 }), []);
  talk.follower.handled(push, talk.now);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 1 }]);
});

test("a gap is not believed", () => {
  const talk = new Conversation().live();
  talk.takesPush(1);
  const [wait] = talk.hearsPush(4, { previous: 3 });
  assert.equal(wait.do, "wait");
  assert.equal(wait.reason, "gap");
  assert.equal(talk.opens().cursor, "e1.1");
});

test("sequences may have holes that are none: previous names the one before", () => {
  const talk = new Conversation().live("e1.4");
  assert.deepEqual(sequences(talk.takesPush(9, { previous: 4 })), [9]);
  assert.equal(talk.follower.cursor, "e1.9");
});

// --- refusing -------------------------------------------------------------------------------------

test("a handler that fails refuses the push, with its reason", () => {
  const talk = new Conversation().live();
  const [push] = shown(talk.hearsPush(1));
  const actions = talk.follower.handled(push, talk.now, new Error("disk full"));
  assert.deepEqual(sent(actions), [{ type: "nack", id: "1", reason: "disk full" }]);
  assert.deepEqual(sent(talk.passes(1)), []);
});

test("behind a refused push the others are acknowledged by id, and the cursor stays", () => {
  const talk = new Conversation().live();
  const [push] = shown(talk.hearsPush(1));
  talk.follower.handled(push, talk.now, new Error("no"));
  talk.takesPush(2);
  talk.takesPush(3);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", ids: ["2", "3"] }]);
  assert.equal(talk.follower.cursor, "e1.0");
});

test("when the refused push comes again it is shown again, and then all is acknowledged", () => {
  const talk = new Conversation().live();
  const [push] = shown(talk.hearsPush(1));
  talk.follower.handled(push, talk.now, new Error("no"));
  talk.takesPush(2);
  talk.passes(ACK_DELAY);
  assert.deepEqual(sequences(talk.takesPush(1, { attempt: 2 })), [1]);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 2 }]);
});

test("a newer change of what was refused takes its place", () => {
  const talk = new Conversation().live();
  const [push] = shown(talk.hearsPush(1, { id: "a" }));
  talk.follower.handled(push, talk.now, new Error("no"));
  talk.takesPush(2, { id: "a" });
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 2 }]);
});

test("as many ids as a frame may have are named in it, and the rest in another", () => {
  const talk = new Conversation();
  talk.opens();
  talk.hearsWelcome("e1.0", { window: 10_000 });
  const [push] = shown(talk.hearsPush(1));
  talk.follower.handled(push, talk.now, new Error("no"));
  const pushes = [];
  for (let at = 2; at <= ACK_IDS_MAX + 2; at += 1) pushes.push(...shown(talk.hearsPush(at)));
  const frames = sent(pushes.flatMap((each) => talk.follower.handled(each, talk.now)));
  const named = [...frames, ...sent(talk.passes(ACK_DELAY))].flatMap(({ ids }) => ids);
  assert.equal(named.length, ACK_IDS_MAX + 1);
  assert.equal(new Set(named).size, ACK_IDS_MAX + 1);
});

// --- resets ---------------------------------------------------------------------------------------

test("after a reset everything is shown, from wherever the server begins", () => {
  const talk = new Conversation({ cursor: "e0.9" });
  talk.opens();
  talk.hearsWelcome("e1.0");
  assert.deepEqual(talk.hears("reset", { reason: "epoch" }), [{ do: "reset", reason: "epoch" }]);
  assert.deepEqual(sequences(talk.takesPush(3, { previous: 2 })), [3]);
  assert.equal(talk.follower.cursor, "e1.3");
});

test("a push handled when the log was reset acknowledges nothing of the new one", () => {
  const talk = new Conversation().live();
  const [old] = shown(talk.hearsPush(1));
  talk.hears("reset", { reason: "epoch" });
  const [push] = shown(talk.hearsPush(1, { previous: 0 }));
  talk.follower.handled(old, talk.now);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), []);
  talk.follower.handled(push, talk.now);
  assert.deepEqual(sent(talk.passes(ACK_DELAY)), [{ type: "ack", sequence: 1 }]);
});

// --- endings --------------------------------------------------------------------------------------

test("the delay that a goodbye names is obeyed", () => {
  const talk = new Conversation().live();
  const [wait] = talk.hearsGoodbye(4000, "draining", { after: 3 });
  assert.deepEqual(wait, { do: "wait", delay: 3, reason: "draining", code: 4000 });
});

for (const [code, reason] of [[4400, "malformed"], [4401, "unauthenticated"], [4409, "replaced"], [4410, "disconnected"]]) {
  test(`coming back after ${reason} is no use`, () => {
    const [said] = new Conversation().live().hearsGoodbye(code, reason, { detail: "why" });
    assert.deepEqual(said, { do: "stop", reason, code, detail: "why" });
    const [closed] = new Conversation().live().follower.closed(code);
    assert.deepEqual(closed, { do: "stop", reason, code });
  });
}

test("the delay doubles with each failure, to a cap, and begins anew when all was heard", () => {
  const talk = new Conversation({ random: () => 0.999_999 });
  const delays = [];
  for (let time = 0; time < 8; time += 1) delays.push(Math.round(talk.follower.unreachable()[0].delay * 10) / 10);
  assert.deepEqual(delays, [0.5, 1, 2, 4, 8, 16, 20, 20]);
  talk.live();
  assert.equal(Math.round(talk.follower.closed(1006)[0].delay * 10) / 10, 0.5);
});

test("leaving acknowledges what was handled", () => {
  const talk = new Conversation().live();
  talk.takesPush(1);
  assert.deepEqual(sent(talk.follower.leaving()), [{ type: "ack", sequence: 1 }]);
});

// --- time -----------------------------------------------------------------------------------------

test("a server that is silent is asked, and left when it does not answer", () => {
  const talk = new Conversation().live();
  assert.deepEqual(sent(talk.passes(25)), [{ type: "ping" }]);
  const [wait] = talk.passes(PONG_TIMEOUT);
  assert.equal(wait.reason, "silent");
});

test("a server that answers is kept", () => {
  const talk = new Conversation().live();
  talk.passes(25);
  talk.hears("pong");
  assert.deepEqual(talk.passes(24), []);
});

test("a server that never says welcome is left", () => {
  const talk = new Conversation();
  talk.opens();
  assert.equal(talk.passes(60)[0].reason, "silent");
});

test("a connection that is never made is given up", () => {
  const talk = new Conversation();
  talk.follower.connecting(talk.now);
  assert.equal(talk.passes(60)[0].reason, "silent");
});

test("after sleep the server is asked at once, and has five seconds", () => {
  const talk = new Conversation().live();
  assert.deepEqual(sent(talk.follower.wake(talk.now)), [{ type: "ping" }]);
  assert.equal(talk.passes(5)[0].reason, "silent");
});

test("a newer token is asked for before the old one ends, once", () => {
  const talk = new Conversation();
  talk.opens("old", 1000 + 100);
  talk.hearsWelcome("e1.0", { heartbeat: 1000 });
  assert.deepEqual(talk.passes(100 - REFRESH_BEFORE), [{ do: "refresh" }]);
  assert.deepEqual(talk.passes(20), []);
  assert.deepEqual(sent(talk.follower.refreshed("new", talk.now + 500)), [{ type: "refresh", token: "new" }]);
});
