"""An operator, who looks at dead letters now and then, and delivers them again or lets them go."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from simulation.clients.requests import Question, Requester
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory

_PAGE: Final = "100"
_REPLAYED: Final = 0.75
"""Of the letters that are looked at; a few are discarded, and of some only the history is read."""
_DISCARDED: Final = 0.1
_TWICE: Final = 0.3
"""Of the replays, those that are asked for twice at once, as by two who do not know it."""


_Then = Callable[[RequestStory], object]


class Operator:
    """See the module; looks every *interval* seconds on average."""

    name = "operator"

    def __init__(self, cluster: Cluster, interval: float) -> None:
        self.cluster = cluster
        self.chance = cluster.chance("operator")
        token = cluster.token(self.name, "admin")
        self._requester = Requester(cluster, self.name, token, cluster.chance("network", self.name))
        self._interval = interval if cluster.plan.users else math.inf
        self._under_way = 0
        self._is_over = False

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of what was asked waits for its answer."""
        return not self._under_way

    def begin(self) -> None:
        """Look from now on."""
        self.cluster.timeline.after(self.chance.wait(self._interval), self._look)

    def end(self) -> None:
        """Look no more."""
        self._is_over = True

    def _look(self) -> None:
        if self._is_over:
            return
        status = self.chance.one(("dead", "dead", "dead", "all"))
        query = {"limit": _PAGE, "status": status}
        self._ask(Question(operation="list_dead_letters", query=query), self._looked)
        self.begin()

    def _looked(self, story: RequestStory) -> None:
        if self._is_over or story.status != 200 or not story.answer["dead_letters"]:
            return
        for _ in range(1 + int(self.chance.wait(1.0))):
            self._settle(self.chance.one(story.answer["dead_letters"]))

    def _settle(self, letter: Frame) -> None:
        path, drawn = {"letter": str(letter["id"])}, self.chance.random()
        if drawn < _REPLAYED:
            times = 2 if self.chance.happens(_TWICE) else 1
            for _ in range(times):
                self._ask(Question(operation="replay_dead_letter", path=path))
        elif drawn < _REPLAYED + _DISCARDED:
            self._ask(Question(operation="discard_dead_letter", path=path))
        else:
            self._ask(Question(operation="show_dead_letter", path=path))

    def _ask(self, question: Question, then: _Then | None = None) -> None:
        def done(story: RequestStory, _: float | None) -> None:
            self._under_way -= 1
            if then is not None:
                then(story)

        if self._requester.ask(question, done) is not None:
            self._under_way += 1
