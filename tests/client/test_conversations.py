"""The followers in Python and in JavaScript say the same: in the recorded conversations
(tests/browser/conversations.json), and in any that chance makes up."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess

import pytest

from servers.node import ROOT
from servers.program import find_binary
from tocsin.protocol.closing import Closing
from tocsin_client import closing
from tocsin_client.actions import Show
from tocsin_client.follower import Follower
from tocsin_client.frames import Push

BROWSER = ROOT / "tests" / "browser"
CONVERSATIONS = json.loads((BROWSER / "conversations.json").read_text())
OF_PYTHON = {"gap", "not_tocsin"}
"""Reasons with a detail for the terminal's person, which browsers have no use for."""


def replay(conversation):
    """The answers of the follower in Python, in the form of replay.js."""
    options = {"device": None, **conversation["options"]}
    follower = Follower(random=lambda: 0.5, client="test", **options)
    pushes: dict[int, Push] = {}
    answers = []
    for step in conversation["steps"]:
        actions = tell(follower, pushes, step["now"], *step["told"])
        pushes |= {each.push.sequence: each.push for each in actions if isinstance(each, Show)}
        deadline = None if follower.deadline == math.inf else follower.deadline
        wants = [plain(each) for each in actions]
        answers.append({"wants": wants, "deadline": deadline, "cursor": follower.cursor})
    return answers


def tell(follower, pushes, now, told, *rest):
    match told:
        case "opened":
            return follower.opened(now, *rest)
        case "heard":
            [said] = rest
            return follower.heard(said if isinstance(said, str) else json.dumps(said), now)
        case "handled":
            sequence, *error = rest
            return follower.handled(pushes[sequence], now, *error) if sequence in pushes else []
        case "due":
            return follower.due(now)
    return getattr(follower, told)(*rest)


def plain(action):
    name = type(action).__name__.lower()
    if isinstance(action, Show):
        return {"do": name, "push": action.push.sequence}
    fields = {key: value for key, value in dataclasses.asdict(action).items() if key != "raw"}
    if fields.get("reason") in OF_PYTHON:
        del fields["detail"]
    return {"do": name, **{key: value for key, value in fields.items() if value is not None}}


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda each: each["name"])
def test_the_recorded_conversations(conversation):
    wanted = [
        {name: step[name] for name in ("wants", "deadline", "cursor")}
        for step in conversation["steps"]
    ]
    assert replay(conversation) == wanted


def test_it_has_the_closing_reasons_of_the_protocol():
    assert dict(closing.REASONS) == {int(each): each.word for each in Closing}
    may = [int(each) for each in Closing if closing.may_reconnect(int(each))]
    assert may == [int(each) for each in Closing if each.reconnect]


def test_conversations_that_chance_makes_up():
    """Some hundred, of steps that a server and a program may come to, in any order."""
    chance = random.Random()
    seed = chance.randrange(2**32)
    chance.seed(seed)
    made = [made_up(chance) for _ in range(400)]
    command = [find_binary("node", "nodejs"), str(BROWSER / "replay.js")]
    lines = "".join(f"{json.dumps(each)}\n" for each in made)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    for conversation, line in zip(made, done.stdout.splitlines(), strict=True):
        answers = replay(conversation)
        for step, ours, theirs in zip(
            conversation["steps"], answers, json.loads(line), strict=True
        ):
            assert ours == theirs, f"seed {seed}, {step}"


def made_up(chance):
    now, steps = 1000.0, []
    for _ in range(60):
        now = round(now + chance.choice([0, 0, 0.01, 0.02, 1, 10, 25]), 3)
        steps.append({"now": now, "told": told(chance)})
    cursor = chance.choice([None, "0", "a.3"])
    return {"options": {"device": "desk", "cursor": cursor}, "steps": steps}


def told(chance):
    number = chance.randrange(8)
    match chance.choices(range(9), [3, 4, 16, 14, 4, 2, 2, 6, 1])[0]:
        case 0:
            return ["opened", "token", *([number * 40 + 1000] if number % 2 else [])]
        case 1:
            cursor = f"{chance.choice('aab')}.{number}{chance.choice(['', '~9'])}"
            said = {"user": "ada", "device": "desk", "cursor": cursor, "window": number}
            return ["heard", {"type": "welcome", **said}]
        case 2:
            notification = {"id": str(number % 3), "title": "Hello"}
            fields = {"sequence": number, "previous": number - chance.choice([1, 1, 1, 2])}
            told = {"change": "updated", "notification": notification, "unread": 1}
            return ["heard", {"type": "push", **fields, **told}]
        case 3:
            return ["handled", number, *(["no"] if chance.random() < 0.2 else [])]
        case 4:
            frames = [{"type": "synced"}, {"type": "reset", "reason": "epoch"}, {"type": "pong"}]
            return ["heard", chance.choice(frames)]
        case 5:
            code = chance.choice([*map(int, Closing), 1006])
            fields = {"reconnect": code < 4400, "after": number}
            return ["heard", {"type": "goodbye", "code": code, "reason": "why", **fields}]
        case 6:
            ends = [[1006], [4000, "draining"], [4409, "replaced"], [4455, "later"], []]
            return ["closed", *chance.choice(ends)]
        case 7:
            return ["due"]
    return chance.choice([["leaving"], ["unreachable"], ["refreshed", "newer", 2000]])
