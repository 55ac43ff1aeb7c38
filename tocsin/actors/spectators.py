"""Operators who look on at the nodes of a cluster, and what they are shown.

A spectator here is a stream of `/v1/admin/events`. While there is one, on this node or on another
one, this node takes *sightings*: it counts what it does, and keeps some of it, the first few of
each kind in each second, and all that concerns a user whom a spectator has named. Once a second
the `SpectatorsWorker` tells them, so neither the work of a node nor that of the bus grows with
what goes on.

While nobody looks on, `Timing.sightings` is `None`, and that is all that a push asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

import trio

from tocsin.actors.runtime.bell import Bell, pause
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.protocol.cluster.sightings import Sight, Sighted, Sighting, Spectating

INTERVAL: Final = 1.0
"""Seconds between two tellings."""
REPEAT: Final = 3.0
"""Seconds between two `Spectating` of a node."""
LEASE: Final = 10.0
"""Seconds for which a node believes that another one's spectators look on: three repetitions."""
EACH_MAX: Final = 8
"""Sightings of each kind in a second that concern no named user: what a person can read."""
NAMED_MAX: Final = 100
"""Sightings of named users in a second."""
USERS_MAX: Final = 64
"""Users who are named at a time, here and on other nodes."""
SPECTATORS_MAX: Final = 16
"""Streams of a node: operators are few, and each costs an encoding a second and node."""
WAITING_MAX: Final = 64
"""Tellings that wait for a stream that is read slowly: of more the oldest go."""
EVERYBODY: Final = ""

What: TypeAlias = "tuple[str | None, str | None, str | None, str | None]"
"""Notification, user, device and detail of a sighting."""


class Sightings:
    """All that a node has seen since the last telling: *counts* by kind, and the *kept* ones.

    With *everybody*, a spectator wants to see more than the named *users*.
    """

    __slots__ = ("_everybody", "_named", "_now", "_users", "counts", "kept")

    def __init__(self, users: frozenset[str], now: Callable[[], float], *, everybody: bool) -> None:
        self._users = users
        self._everybody = everybody
        self._now = now
        self._named = 0
        self.counts: dict[Sight, int] = {}
        self.kept: list[tuple[float, Sight, What]] = []

    def take(
        self,
        kind: Sight,
        notification: str | None = None,
        user: str | None = None,
        device: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Count something of the *kind*, and keep it if there is room."""
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        if user in self._users:
            if self._named >= NAMED_MAX:
                return
            self._named += 1
        elif not self._everybody or count > EACH_MAX:
            return
        self.kept.append((self._now(), kind, (notification, user, device, detail)))


class Spectator:
    """One stream: what each node told, for *user* alone if one is named."""

    def __init__(self, user: str | None) -> None:
        self.user = user
        self.missed = 0
        """Tellings that the stream was too slow for."""
        self._waiting: deque[tuple[str, Sighted]] = deque()
        self._bell = Bell()

    def tell(self, node: str, sighted: Sighted) -> None:
        """Put what *node* told behind the rest."""
        if self.user is not None:
            own = tuple(each for each in sighted.sightings if each.user == self.user)
            sighted = Sighted(sighted.at, sighted.counts, own, sighted.sample)
        self._waiting.append((node, sighted))
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            self.missed += 1
        self._bell.ring()

    async def wait(self, seconds: float) -> list[tuple[str, Sighted]]:
        """All that waits, or nothing after *seconds*; cancelling loses none of it."""
        if not self._waiting:
            await self._bell.wait(trio.current_time() + seconds)
        told = list(self._waiting)
        self._waiting.clear()
        return told


class SpectatorsBus(Protocol):
    """The way to the other nodes' spectators."""

    def say_to_all(self, word: Spectating) -> None:
        """Tell all nodes that an operator looks on here."""

    def say_sighted(self, word: Sighted) -> None:
        """Tell the nodes with spectators."""

    def watch_sightings(self) -> None:
        """Begin to hear what the other nodes tell."""

    def leave_sightings(self) -> None:
        """Cease to hear it."""


class Spectators:
    """The table of spectators, here and elsewhere. *begun* is given the `Sightings` to fill, or
    `None` when the last spectator has gone."""

    def __init__(self, begun: Callable[[Sightings | None], None]) -> None:
        self._begun = begun
        self._here: dict[int, Spectator] = {}
        self._next = 0
        self._elsewhere: dict[str, float] = {}
        """User, or `EVERYBODY` -> until when (Trio time) other nodes want to see them."""
        self.current = Sightings(frozenset(), trio.current_time, everybody=False)
        self.bus: SpectatorsBus | None = None
        self.bell = Bell()
        """Rings when somebody looks on."""

    # --- Spectators here -------------------------------------------------------------------------

    def enter(self, user: str | None) -> tuple[int, Spectator] | None:
        """A new spectator and its number, or `None` if there are `SPECTATORS_MAX` already."""
        if len(self._here) >= SPECTATORS_MAX:
            return None
        self._next += 1
        spectator = self._here[self._next] = Spectator(user)
        if self.bus is not None:
            self.bus.watch_sightings()
            self.bus.say_to_all(Spectating(user))
        self.bell.ring()
        return self._next, spectator

    def leave(self, number: int) -> None:
        """The spectator with this *number* has gone; again is no harm."""
        if self._here.pop(number, None) is None:
            return
        if not self._here and self.bus is not None:
            self.bus.leave_sightings()

    # --- Other nodes -----------------------------------------------------------------------------

    def hear(self, speaker: str, word: Spectating | Sighted) -> None:
        """Take a *word* of the node called *speaker*."""
        if isinstance(word, Sighted):
            for spectator in self._here.values():
                spectator.tell(speaker, word)
            return
        user = EVERYBODY if word.user is None else word.user
        if user in self._elsewhere or len(self._elsewhere) < USERS_MAX:
            self._elsewhere[user] = trio.current_time() + LEASE
            self.bell.ring()

    # --- For the worker --------------------------------------------------------------------------

    def begin(self, now: Callable[[], float]) -> bool:
        """Have sightings taken for as long as somebody looks on; whether somebody does."""
        time = now()
        self._elsewhere = {user: at for user, at in self._elsewhere.items() if at > time}
        wanted = {EVERYBODY if each.user is None else each.user for each in self._here.values()}
        wanted |= self._elsewhere.keys()
        if not wanted:
            self._begun(None)
            return False
        users = frozenset(wanted - {EVERYBODY})
        self.current = Sightings(users, now, everybody=EVERYBODY in wanted)
        self._begun(self.current)
        return True

    def tell(self, node: str, at: int, time: float, sample: Mapping[str, float]) -> None:
        """Tell all spectators what was seen until *at* (Unix ms), which is *time* (Trio's)."""
        seen = self.current
        kept = tuple(
            Sighting(at - round((time - when) * 1000), kind, *what)
            for when, kind, what in seen.kept
        )
        counts = {str(kind): count for kind, count in seen.counts.items()}
        sighted = Sighted(at, counts, kept, dict(sample))
        for spectator in self._here.values():
            spectator.tell(node, sighted)
        if self._elsewhere and self.bus is not None:
            self.bus.say_sighted(sighted)

    def repeat(self) -> None:
        """Tell the other nodes that somebody still looks on here."""
        if self.bus is not None:
            for user in dict.fromkeys(each.user for each in self._here.values()):
                self.bus.say_to_all(Spectating(user))


class SpectatorsWorker(TableWorker):
    """Tells the *spectators* of the node called *node* once a second what it did.

    *now_ms* is the wall's clock, *sample* gives the node's last sample by column.
    """

    def __init__(
        self,
        spectators: Spectators,
        node: str,
        now_ms: Callable[[], int],
        sample: Callable[[], Mapping[str, float]],
    ) -> None:
        self._spectators = spectators
        self._node = node
        self._now_ms = now_ms
        self._sample = sample

    def tasks(self) -> Tasks:
        """One, for ever."""
        return (self._look_on,)

    async def _look_on(self) -> None:
        spectators = self._spectators
        now = trio.lowlevel.current_clock().current_time
        repeat_at = now() + REPEAT
        while True:
            while not spectators.begin(now):
                await spectators.bell.wait()
                repeat_at = now() + REPEAT
            await pause(INTERVAL)
            spectators.tell(self._node, self._now_ms(), now(), self._sample())
            if now() >= repeat_at:
                spectators.repeat()
                repeat_at = now() + REPEAT
