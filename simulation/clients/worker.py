"""A worker: a client that does something now and then, and waits for the answers."""

from __future__ import annotations

from collections.abc import Callable

from simulation.clients.requests import Done, Question, Requester
from simulation.world.chance import Chance
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from simulation.world.host import Host

Then = Callable[[RequestStory], object]
"""Called with the answered request."""


class Worker:
    """Acts every *interval* seconds on average, from `begin` to `end`; a subclass says how.

    Each action ends with `_pause`, which plans the next one.
    """

    def __init__(self, cluster: Cluster, name: str, chance: Chance, interval: float) -> None:
        self.cluster = cluster
        self.name = name
        self.chance = chance
        self._interval = interval
        self._under_way = 0
        self._is_over = False

    @property
    def is_quiet(self) -> bool:
        """Whether no request of this worker is waiting for its answer."""
        return not self._under_way

    def begin(self) -> None:
        """Act from now on; the first action comes after a pause."""
        self._pause()

    def end(self) -> None:
        """Begin no further action; requests under way are still answered."""
        self._is_over = True

    def _pause(self, actions: int = 1) -> None:
        """Act again after as long as *actions* actions take on average."""
        delay = self.chance.wait(self._interval * actions)
        self.cluster.timeline.after(delay, self._turn)

    def _turn(self) -> None:
        if not self._is_over:
            self._act()

    def _act(self) -> None:
        raise NotImplementedError

    def _ask(
        self,
        requester: Requester,
        question: Question,
        then: Then | None = None,
        *,
        host: Host | None = None,
    ) -> None:
        """Ask *host*, or a host that the balancer chooses; no effect if it is not up.

        *then* is called with the answered request.
        """
        if requester.ask(question, self._expect(then), host=host) is None:
            self._under_way -= 1

    def _expect(self, then: Then | None = None) -> Done:
        """Count a request as under way; the result must be called when it is answered."""
        self._under_way += 1

        def done(story: RequestStory, _: float | None) -> None:
            self._under_way -= 1
            if then is not None:
                then(story)

        return done
