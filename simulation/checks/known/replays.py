"""The requests to replay dead letters, by user and notification."""

from __future__ import annotations

import math
from collections.abc import Iterator

from simulation.checks.known.posts import may_have_been_done
from simulation.world.history import RequestStory

_DONE = 200
"""The status of a list, and of a replay that was done."""


class Replays:
    """See the module."""

    def __init__(self) -> None:
        self._letters: dict[str, tuple[str, str]] = {}
        self._requests: dict[tuple[str, str], list[RequestStory]] = {}

    def asked(self, request: RequestStory) -> None:
        """Note *request*, if it is to replay a letter that was listed."""
        if request.operation == "replay_dead_letter":
            pair = self._letters[request.path["letter"]]
            self._requests.setdefault(pair, []).append(request)

    def answered(self, request: RequestStory) -> None:
        """Note the letters in the answer of *request*, if it has listed some."""
        if request.operation == "list_dead_letters" and request.status == _DONE:
            for letter in request.answer["dead_letters"]:
                self._letters[str(letter["id"])] = letter["user"], letter["notification"]

    def first_of(self, notification: str) -> float:
        """The earliest time at which a letter of *notification*, of any user, may be replayed.

        That lets an expired notification live again, for all whose letters are replayed while it
        does. Infinite if there is none.
        """
        pairs = [pair for pair in self._requests if pair[1] == notification]
        asked = [request.asked_at for user, _ in pairs for request in self.of(user, notification)]
        return min(asked, default=math.inf)

    def of(self, user: str, notification: str) -> Iterator[RequestStory]:
        """The requests about this letter that were done or may have been done."""
        for request in self._requests.get((user, notification), ()):
            if request.status == _DONE or may_have_been_done(request):
                yield request
