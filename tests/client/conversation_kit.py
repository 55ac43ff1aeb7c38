"""A follower under test, and the server's half of what is said to it."""

from __future__ import annotations

import json
import math

from tocsin.client.narration import Narrator
from tocsin_client.actions import Send, Show, Stop, Wait
from tocsin_client.follower import Follower


class Conversation:
    """Talks to a follower, at a time that only we move."""

    def __init__(self, **options):
        self.now = 1000.0
        self.tokens = 0
        options = {"random": lambda: 0.5, **options}
        self.follower = Follower(device="desk", user="ada", **options)

    def opens(self, expires=math.inf):
        """A connection is there; what hello says."""
        self.tokens += 1
        [hello] = self.follower.opened(self.now, f"token-{self.tokens}", expires)
        return frame(hello)

    def hears(self, kind, **fields):
        return self.follower.heard(json.dumps({"type": kind, **fields}), self.now)

    def hears_welcome(self, cursor="e1.0", **fields):
        epoch = cursor.partition(".")[0]
        said = {"user": "ada", "device": "desk", "node": "n", "epoch": epoch, "cursor": cursor}
        return self.hears("welcome", **said | fields)

    def hears_push(self, sequence, previous=None, **fields):
        """A push, with which the program is done at once."""
        actions = self.hears_a_push(sequence, previous, **fields)
        pushes = [action.push for action in actions if isinstance(action, Show)]
        return actions + [do for each in pushes for do in self.follower.handled(each, self.now)]

    def hears_a_push(self, sequence, previous=None, **fields):
        notification = {"id": "1", "title": f"no. {sequence}", "updated_at": "2026-01-01"}
        return self.hears(
            "push",
            sequence=sequence,
            previous=sequence - 1 if previous is None else previous,
            change="created",
            notification=notification,
            **fields,
        )

    def hears_goodbye(self, closing, after=0.0):
        said = {"code": int(closing), "reason": closing.word, "reconnect": closing.reconnect}
        assert self.hears("goodbye", **said, after=after) == []
        return self.follower.closed(int(closing))

    def passes(self, seconds):
        """Time passes, and the follower is called at each of its deadlines."""
        actions = []
        until = self.now + seconds
        while self.follower.deadline <= until:
            self.now = max(self.now, self.follower.deadline)
            actions += self.follower.due(self.now)
            if any(isinstance(action, Wait | Stop) for action in actions):
                return actions
        self.now = until
        return actions

    def live(self, cursor="e1.0"):
        self.opens()
        self.hears_welcome(cursor)
        self.hears("synced", sequence=0)
        return self


def frame(action):
    assert isinstance(action, Send)
    return action.frame


def sent(actions):
    return [frame(action) for action in actions if isinstance(action, Send)]


def shown(actions):
    return [action.push.sequence for action in actions if isinstance(action, Show)]


def waits(actions):
    [wait] = [action.delay for action in actions if isinstance(action, Wait)]
    return wait


def told(actions):
    """The lines about them for a person."""
    narrator = Narrator("ada", "the server")
    news = [each for each in actions if not isinstance(each, Send | Show)]
    texts = [narrator.text(each, "desk") for each in news]
    return " ".join(text for text in texts if text is not None)


def trouble(actions):
    [stop] = actions
    assert isinstance(stop, Stop)
    return Narrator("ada", "the server").trouble(stop, "desk")
