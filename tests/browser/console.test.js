/** The console: what it calls unusual, its rates, and its words. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { eventsIn } from "../../tocsin/browser/console/live.js";
import { series, unusual } from "../../tocsin/browser/console/overview.js";
import { stepsOf } from "../../tocsin/browser/console/people.js";
import { ago, bytes, count, seconds, share } from "../../tocsin/browser/console/words.js";

const WELL = { status: "ok", hops: { store: "ok", bus: "ok", node: "ok" } };
const NOW = { spool: 0, busy: 0.2, lag: 0.001 };

test("nothing is unusual while all is well", () => {
  assert.deepEqual(unusual(WELL, NOW), []);
});

test("each trouble has a sentence", () => {
  const hops = (more) => ({ ...WELL, hops: { ...WELL.hops, ...more } });
  for (const [ready, now, said] of [
    [hops({ store: "lost" }), NOW, /store cannot be used.*refused/],
    [hops({ store: "lost", spool: "ok" }), NOW, /are spooled/],
    [{ ...hops({ store: "lost" }), reason: "the disk is full" }, NOW, /the disk is full/],
    [hops({ bus: "lost" }), NOW, /does not hear the others/],
    [hops({ spool: "lost" }), NOW, /spool cannot be used/],
    [hops({ node: "stopping" }), NOW, /stopping/],
    [WELL, { ...NOW, spool: 40 }, /40 posts wait/],
    [WELL, { ...NOW, busy: 0.95 }, /95 %/],
    [WELL, { ...NOW, lag: 0.5 }, /500 ms late/],
  ]) {
    const found = unusual(ready, now);
    assert.equal(found.length, 1);
    assert.match(found[0], said);
  }
});

test("a rate is what a counter grew by in a second, and a counter that begins anew is no fall", () => {
  const rows = [[0, 10], [1000, 14], [3000, 24], [4000, 3]];
  assert.deepEqual(series(rows, 1, true), [0, 4, 5, 0]);
  assert.deepEqual(series(rows, 1), [10, 14, 24, 3]);
});

test("words for numbers and times", () => {
  assert.equal(count(9999), "9,999");
  assert.equal(count(1234567), "1.2M");
  assert.equal(bytes(5 * 2 ** 20), "5 MiB");
  assert.equal(share(0.456), "46 %");
  assert.equal(seconds(0.25), "250 ms");
  assert.equal(seconds(2), "2 s");
  const now = Date.parse("2026-03-09T08:15:00Z");
  assert.equal(ago("2026-03-09T08:14:30Z", now), "30 seconds ago");
  assert.equal(ago("2026-03-08T08:14:30Z", now), "yesterday");
  assert.equal(ago(null), "never");
});

test("the timeline of a notification has its steps in the order of time", () => {
  const at = (second) => `2026-11-30T10:00:0${second}.000Z`;
  const found = { created_at: at(0), updated_at: at(3), revision: 2, deliver_at: null };
  const phone = { user: "ada", device: "phone", attempts: 3, first_sent_at: at(1), acknowledged_at: at(4), outcome: "acknowledged", reason: null };
  const laptop = { user: "ada", device: "laptop", attempts: 1, first_sent_at: at(2), acknowledged_at: null, outcome: "dead", reason: null };
  assert.deepEqual(stepsOf(found, [phone, laptop]).map(([, what]) => what), [
    "posted",
    "sent to phone of ada, then 2 times more",
    "sent to laptop of ada",
    "given up for laptop of ada: no answer",
    "changed, to revision 2",
    "acknowledged by phone of ada",
  ]);
});

test("events of a stream are read as they come, in pieces of any size", () => {
  const text = 'retry: 2000\n:\n\nevent: second\ndata: {"node":"a"}\n\nevent: missed\ndata: {"seconds":2}\n\nevent: sec';
  const whole = [["second", { node: "a" }], ["missed", { seconds: 2 }]];
  for (let size = 1; size <= text.length; size += 1) {
    let [found, rest] = [[], ""];
    for (let at = 0; at < text.length; at += size) {
      const [events, left] = eventsIn(rest + text.slice(at, at + size));
      found = [...found, ...events];
      rest = left;
    }
    assert.deepEqual([found, rest], [whole, "event: sec"], size);
  }
});
