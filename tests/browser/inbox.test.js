/** The inbox as a snapshot: pages, pushes and marks, and when its identity changes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Inbox } from "../../tocsin/browser/client/inbox.js";

const item = (id, state = "unseen") => ({ id, title: `no. ${id}`, state });
const page = (...notifications) => ({
  notifications,
  next: null,
  unread: notifications.filter(({ state }) => state !== "read").length,
  unseen: notifications.filter(({ state }) => state === "unseen").length,
  cursor: "e1.10",
});
const push = (sequence, notification, fields = {}) => ({
  sequence, previous: sequence - 1, change: "created", notification, unread: 9, unseen: 8, replay: false, attempt: 1, ...fields,
});
const ids = ({ notifications }) => notifications.map(({ id }) => id);

function loaded(...notifications) {
  const inbox = new Inbox();
  inbox.replace(page(...notifications));
  return inbox;
}

test("a new notification comes first, with the server's counters", () => {
  const inbox = loaded(item("a"));
  inbox.apply(push(11, item("b")));
  assert.deepEqual(ids(inbox.current), ["b", "a"]);
  assert.equal(inbox.current.unread, 9);
});

test("a change that the page has told already is passed over", () => {
  const inbox = loaded(item("a"));
  const before = inbox.current;
  inbox.apply(push(10, item("b")));
  assert.equal(inbox.current, before);
});

test("a change stays in its place", () => {
  const inbox = loaded(item("a"), item("b"));
  inbox.apply(push(11, { ...item("b"), title: "new" }, { change: "updated" }));
  assert.equal(inbox.current.notifications[1].title, "new");
});

for (const state of ["withdrawn", "archived"]) {
  test(`a notification that is ${state} goes`, () => {
    const inbox = loaded(item("a"), item("b"));
    inbox.apply(push(11, item("a", state), { change: state === "withdrawn" ? "withdrawn" : "state" }));
    assert.deepEqual(ids(inbox.current), ["b"]);
  });
}

test("a replay of what is not in the list asks for the page anew, as only the server knows its place", () => {
  const inbox = loaded(item("a"));
  inbox.apply(push(11, item("old"), { replay: true }));
  assert.ok(inbox.isBehind);
  assert.deepEqual(ids(inbox.current), ["a"]);
  inbox.replace(page(item("a"), item("old")));
  assert.ok(!inbox.isBehind);
});

test("an older page goes behind, without what is there already", () => {
  const inbox = new Inbox();
  inbox.replace({ ...page(item("a"), item("b")), next: "n" });
  assert.ok(inbox.current.more);
  inbox.append(page(item("b"), item("c")));
  assert.deepEqual(ids(inbox.current), ["a", "b", "c"]);
  assert.ok(!inbox.current.more);
});

test("a mark is shown at once and counted", () => {
  const inbox = loaded(item("a"), item("b"));
  inbox.mark("read", ["a"]);
  assert.equal(inbox.current.notifications[0].state, "read");
  assert.deepEqual([inbox.current.unread, inbox.current.unseen], [1, 1]);
});

test("a mark that was refused is taken back", () => {
  const inbox = loaded(item("a"));
  const before = inbox.current;
  inbox.mark("archived", ["a"])();
  assert.equal(inbox.current.notifications, before.notifications);
  assert.equal(inbox.current.unread, 1);
});

test("a refused mark is not taken back over newer news", () => {
  const inbox = loaded(item("a"));
  const undo = inbox.mark("read", ["a"]);
  inbox.apply(push(11, item("b")));
  undo();
  assert.deepEqual(ids(inbox.current), ["b", "a"]);
});

for (const [what, hear] of [
  ["a counter frame", (inbox) => inbox.recount({ unread: 2, unseen: 2 })],
  ["a push", (inbox) => inbox.apply(push(11, item("a"), { change: "updated", unread: 2, unseen: 2 }))],
]) {
  test(`${what} from before a mark does not undo its count until the answer`, () => {
    const inbox = loaded(item("a"), item("b"));
    const counts = [];
    const settle = inbox.mark("read", ["b"]);
    inbox.subscribe(({ unread }) => counts.push(unread));
    hear(inbox);
    settle({ unread: 1, unseen: 1, cursor: "e1.12" });
    assert.deepEqual(counts.filter((unread) => unread !== 1), []);
    assert.equal(inbox.current.unread, 1);
    inbox.recount({ unread: 0, unseen: 0 });
    assert.equal(inbox.current.unread, 0, "no longer held back");
  });
}

test("what was pushed behind a mark counts more than its answer", () => {
  const inbox = loaded(item("a"));
  const settle = inbox.mark("read", ["a"]);
  inbox.apply(push(12, item("b"), { unread: 1, unseen: 1 }));
  assert.equal(inbox.current.unread, 0);
  settle({ unread: 0, unseen: 0, cursor: "e1.11" });
  assert.equal(inbox.current.unread, 1);
});

test("the counts that were heard meanwhile hold where a mark is refused", () => {
  const inbox = loaded(item("a"));
  const settle = inbox.mark("read", ["a"]);
  inbox.recount({ unread: 3, unseen: 3 });
  settle();
  assert.deepEqual([inbox.current.unread, inbox.current.notifications[0].state], [3, "unseen"]);
});

test("counts are held back until the last of two marks is answered", () => {
  const inbox = loaded(item("a"), item("b"));
  const settles = [inbox.mark("read", ["a"]), inbox.mark("read", ["b"])];
  inbox.recount({ unread: 2, unseen: 2 });
  settles[0]({ unread: 1, unseen: 1, cursor: "e1.11" });
  assert.equal(inbox.current.unread, 0);
  settles[1]({ unread: 0, unseen: 0, cursor: "e1.12" });
  assert.equal(inbox.current.unread, 0);
});

test("an answer that is none leaves the counts that were heard", () => {
  for (const answer of [{}, "lies", { cursor: 3 }]) {
    const inbox = loaded(item("a"));
    const settle = inbox.mark("read", ["a"]);
    inbox.recount({ unread: 2, unseen: 2 });
    settle(answer);
    assert.equal(inbox.current.unread, 2);
  }
});

test("a mark that waits for the server holds no counts back", () => {
  const inbox = loaded(item("a"));
  inbox.mark("read", ["a"])(null);
  inbox.recount({ unread: 5, unseen: 0 });
  assert.equal(inbox.current.unread, 5);
});

test("watchers are told of changes and of nothing else", () => {
  const inbox = loaded(item("a", "read"));
  const seen = [];
  const stop = inbox.subscribe((snapshot) => seen.push(snapshot));
  inbox.mark("read", ["a"]);
  inbox.recount({ unread: 0, unseen: 0 });
  assert.equal(seen.length, 0);
  inbox.recount({ unread: 3, unseen: 1 });
  assert.deepEqual(seen, [inbox.current]);
  stop();
  inbox.recount({ unread: 4, unseen: 1 });
  assert.equal(seen.length, 1);
});

test("a snapshot cannot be changed", () => {
  assert.ok(Object.isFrozen(loaded(item("a")).current));
});

test("a push while the page is being read is not lost to an older page", async () => {
  const inbox = loaded(item("a"));
  let answer;
  const read = inbox.load(() => new Promise((resolve) => (answer = resolve)));
  inbox.apply(push(11, item("b")));
  answer(page(item("a")));
  await read;
  assert.deepEqual(ids(inbox.current), ["b", "a"]);
  assert.equal(inbox.current.unread, 9);
});

test("of two wishes for the page the second is granted after the first", async () => {
  const inbox = loaded();
  const pages = [page(item("old")), page(item("new"))];
  const read = async () => pages.shift();
  await Promise.all([inbox.load(read), inbox.load(read)]);
  assert.deepEqual(ids(inbox.current), ["new"]);
});

test("a page that cannot be read leaves the inbox as it is, and may be asked for again", async () => {
  const inbox = loaded(item("a"));
  await assert.rejects(inbox.load(async () => { throw new Error("gone"); }), /gone/);
  await inbox.load(async () => page(item("b")));
  assert.deepEqual(ids(inbox.current), ["b"]);
});

test("when very many have come, the page is to be read anew", () => {
  const inbox = loaded();
  const told = Array.from({ length: 500 }, (_, at) => inbox.apply(push(11 + at, item(String(at)))));
  assert.deepEqual([told.indexOf(true), told.length], [499, 500]);
  inbox.replace({ ...page(item("a")), cursor: "e1.510" });
  assert.equal(inbox.apply(push(511, item("b"))), false);
});

test("a watcher that throws holds up nobody else", () => {
  const inbox = loaded();
  const seen = [];
  inbox.subscribe(() => { throw new Error("the page's mistake"); });
  inbox.subscribe(({ unread }) => seen.push(unread));
  inbox.apply(push(11, item("a")));
  assert.deepEqual(seen, [9]);
});
