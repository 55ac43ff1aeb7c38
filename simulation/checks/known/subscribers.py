"""Subscriptions and preferences of users, as far as they can be known from outside.

While a request is under way, both its result and the old state are possible. So there are two
questions: which users *must* get a notification published between two times, and which *may*; and
likewise, whether preferences must or may mute it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from simulation.checks.known.inbox_model import Register
from simulation.world.history import RequestStory

_DONE: Final = (200, 204)
"""Statuses of a request that was done."""
_UNKNOWN: Final = 500
"""The smallest status after which it is unknown whether the request was done."""
_JOINING: Final = ("subscribe", "add_subscriber", "add_subscribers")


class Subscribers:
    """See the module."""

    def __init__(self) -> None:
        self._moves: dict[tuple[str, str], list[RequestStory]] = {}
        self._preferences: dict[str, list[RequestStory]] = {}
        self._seen: dict[str, float] = {}

    def asked(self, request: RequestStory) -> None:
        """Note *request*, if it is about topics or preferences."""
        user = request.who.partition("/")[0]
        match request.operation:
            case "subscribe" | "unsubscribe" | "add_subscriber" | "remove_subscriber":
                pair = request.path.get("user", user), request.path["topic"]
                self._moves.setdefault(pair, []).append(request)
            case "add_subscribers":
                for each in request.body["users"]:
                    self._moves.setdefault((each, request.path["topic"]), []).append(request)
            case "set_preferences":
                self._preferences.setdefault(user, []).append(request)
            case _:
                pass

    def saw(self, user: str, at: float) -> None:
        """*user* was connected at *at*; posts to all users reach this user from then on."""
        self._seen.setdefault(user, at)

    def must_have(self, user: str, topic: str, since: float, until: float) -> bool:
        """Whether *user* was surely in *topic* at all times between *since* and *until*."""
        if topic == "*":
            return self._seen.get(user, math.inf) < since
        return all(self._members(user, topic).values(since, until))

    def may_have(self, user: str, topic: str, since: float, until: float) -> bool:
        """Whether *user* may have been in *topic* at some time between *since* and *until*."""
        return topic == "*" or any(self._members(user, topic).values(since, until))

    def may_have_muted(
        self, user: str, bodies: Sequence[dict[str, Any]], since: float, until: float
    ) -> bool:
        """Whether *user* may have muted one of *bodies* at some time between the two."""
        return any(any(self._mutes(user, body, since, until)) for body in bodies)

    def must_have_muted(
        self, user: str, bodies: Sequence[dict[str, Any]], since: float, until: float
    ) -> bool:
        """Whether *user* had surely muted each of *bodies* at all times between the two."""
        return all(all(self._mutes(user, body, since, until)) for body in bodies)

    # --- Inside ----------------------------------------------------------------------------------

    def _members(self, user: str, topic: str) -> Register[bool]:
        register = Register(False)
        for request in self._moves.get((user, topic), ()):
            _put(register, request, request.operation in _JOINING)
        return register

    def _mutes(self, user: str, body: dict[str, Any], since: float, until: float) -> list[bool]:
        """Whether *body* is muted, for each of the preferences that *user* can have had."""
        if body.get("priority") == "critical":
            return [False]
        names = [("categories", body.get("category", "default"))]
        if "users" not in body["to"]:
            names.append(("topics", body["to"].get("topic", "*")))
        register = Register(False)
        for request in self._preferences.get(user, ()):
            muted = any(request.body.get(kind, {}).get(name) is False for kind, name in names)
            _put(register, request, muted)
        return register.values(since, until)


def _put(register: Register[bool], request: RequestStory, value: bool) -> None:
    """Put into *register* the value that *request* has set or may have set, if any."""
    if request.status in _DONE:
        register.put(value, request.asked_at, request.answered_at)
    elif request.status is None or request.status >= _UNKNOWN:
        register.put(value, request.asked_at, None)
