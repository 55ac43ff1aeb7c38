/** The recorded conversations, with the follower in JavaScript; tests/client has it in Python. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { FILE, replay } from "./replay.js";

for (const conversation of JSON.parse(readFileSync(FILE, "utf8"))) {
  test(conversation.name, () => {
    const answers = conversation.steps.map(({ wants, deadline, cursor }) => ({ wants, deadline, cursor }));
    assert.deepEqual(replay(conversation), answers);
  });
}
