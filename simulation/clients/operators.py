"""An operator: now and then lists the dead letters, and replays or discards some of them."""

from __future__ import annotations

import math
from typing import Final

from simulation.clients.requests import Question, Requester
from simulation.clients.worker import Worker
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory

_LISTED: Final = {"limit": "100", "kind": "delivery"}
_REPLAYED: Final = 0.75
"""The share of replays among the letters chosen; a few are discarded, the rest is only read."""
_DISCARDED: Final = 0.1
"""The share of letters that are discarded."""
_TWICE: Final = 0.3
"""The share of replays that are requested twice at once, as by two operators."""


class Operator(Worker):
    """See the module; lists the letters every *interval* seconds on average."""

    def __init__(self, cluster: Cluster, interval: float) -> None:
        name = "operator"
        interval = interval if cluster.plan.users else math.inf
        super().__init__(cluster, name, cluster.chance(name), interval)
        token = cluster.token(name, "admin")
        self._requester = Requester(cluster, name, token, cluster.chance("network", name))

    def _act(self) -> None:
        status = self.chance.one(("dead", "dead", "dead", "all"))
        question = Question(operation="list_dead_letters", query={**_LISTED, "status": status})
        self._ask(self._requester, question, self._looked)
        self._pause()

    def _looked(self, story: RequestStory) -> None:
        if self._is_over or story.status != 200 or not story.answer["dead_letters"]:
            return
        for _ in range(1 + int(self.chance.wait(1.0))):
            self._settle(self.chance.one(story.answer["dead_letters"]))

    def _settle(self, letter: Frame) -> None:
        path, drawn = {"letter": str(letter["id"])}, self.chance.random()
        if drawn < _REPLAYED:
            times = 2 if self.chance.happens(_TWICE) else 1
            operations = ["replay_dead_letter"] * times
        elif drawn < _REPLAYED + _DISCARDED:
            operations = ["discard_dead_letter"]
        else:
            operations = ["show_dead_letter"]
        for operation in operations:
            self._ask(self._requester, Question(operation=operation, path=path))
