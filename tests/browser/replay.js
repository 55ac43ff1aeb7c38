/**
 * A conversation with a follower, as JSON: what it is told, when, and what it wants done.
 *
 *     node replay.js record        writes the answers in conversations.json anew, to be looked at
 *     node replay.js               reads conversations, one on a line, and writes their answers
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { Follower } from "../../tocsin/browser/client/follower.js";

export const FILE = fileURLToPath(new URL("conversations.json", import.meta.url));

/** The steps with their answers: what to do, the next deadline, the cursor. */
export function replay({ options = {}, steps }) {
  const follower = new Follower({ random: () => 0.5, client: "test", ...options });
  const pushes = new Map();
  const answers = [];
  for (const { now, told: [input, ...rest] } of steps) {
    const actions = tell(follower, pushes, input, rest, now).map(plain);
    const deadline = follower.deadline === Infinity ? null : follower.deadline;
    answers.push({ wants: actions, deadline, cursor: follower.cursor });
    for (const { push } of actions) if (push !== undefined) pushes.set(push.sequence, push);
    for (const action of actions) if (action.do === "show") action.push = action.push.sequence;
  }
  return answers;
}

function tell(follower, pushes, input, rest, now) {
  switch (input) {
    case "opened":
      return follower.opened(now, ...rest);
    case "heard":
      return follower.heard(typeof rest[0] === "string" ? rest[0] : JSON.stringify(rest[0]), now);
    case "handled":
      return pushes.has(rest[0]) ? follower.handled(pushes.get(rest[0]), now, rest[1]) : [];
    case "due":
      return follower.due(now);
    default:
      return follower[input](...rest);
  }
}

/** Without what is undefined, as JSON has it. */
function plain(action) {
  return Object.fromEntries(Object.entries(action).filter(([, value]) => value !== undefined));
}

const command = process.argv[1] === fileURLToPath(import.meta.url) ? (process.argv[2] ?? "answer") : "";
if (command === "record") {
  const conversations = JSON.parse(readFileSync(FILE, "utf8"));
  for (const each of conversations) {
    const answers = replay(each);
    each.steps = each.steps.map(({ now, told }, at) => ({ now, told, ...answers[at] }));
  }
  const lines = conversations.map(({ name, options = {}, steps }) => {
    const told = steps.map((step) => `    ${JSON.stringify(step)}`).join(",\n");
    return `{"name": ${JSON.stringify(name)}, "options": ${JSON.stringify(options)}, "steps": [\n${told}\n]}`;
  });
  writeFileSync(FILE, `[\n${lines.join(",\n")}\n]\n`);
} else if (command === "answer") {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(replay(JSON.parse(line)))}\n`);
  }
}
