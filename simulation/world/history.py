"""The history of a run: all that clients did and saw, as they report it; the checks judge it.

It holds only what an observer outside the nodes could know, with one exception: when a frame left
its node and when a client's frame reached it, by the simulation's clock. So a check can tell a push
that crossed its acknowledgment on the way from a push that was sent after it.

Faults report here too when they begin and when they end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from simulation.world.troubles import Troubles

Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """*promise* (P1 … P8 of the product page) was broken towards *subject* at *time*."""

    time: float
    promise: str
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise} at {self.time:.4f}, {self.subject}: {self.what}"


@dataclass(slots=True, eq=False)
class SessionStory:
    """One session of a device, or one poll, on process number *process* of the node *host*.

    *transport* is `websocket`, `stream` (which acknowledges by coming back), `stream-explicit` or
    `poll`. *hello* is the cursor with which the device asked to begin, or `None`.
    """

    user: str
    device: str
    transport: str
    host: str
    process: int
    began_at: float
    hello: str | None
    welcome: Frame | None = None
    ended_at: float | None = None
    goodbye: Frame | None = None


@dataclass(slots=True, eq=False)
class RequestStory:
    """One request of a client, with its *operation* as in `node.Request`, and its answer if there
    was one.

    *attempt* (1, 2, …) counts repetitions with the same idempotency *key*. *body* and *answer* are
    decoded JSON; if the request was refused, *answer* is the problem's code as text. A request made
    by a frame (`publish`, `mark`) is reported in the same way, with the operation that does it over
    HTTP.
    """

    who: str
    host: str
    operation: str
    path: dict[str, str]
    body: Any
    key: str | None
    attempt: int
    asked_at: float
    answered_at: float | None = None
    status: int | None = None
    answer: Any = None
    replayed: bool = False


class Watcher:
    """Is told what happens; a subclass overrides the events it wants to see.

    A watcher must not change anything on which the run depends.
    """

    def opened(self, session: SessionStory) -> None:
        """A session asks to begin."""

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        """A frame, sent at *sent_at*, reached the device; the answer of a poll has type
        `changes`."""

    def acknowledged(self, session: SessionStory, ack: Frame) -> None:
        """The device has sent *ack*: a frame with `sequence` or `ids`, or a `nack`."""

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        """*ack* has reached a running process of the node."""

    def ended(self, session: SessionStory) -> None:
        """The session has ended for the device."""

    def asked(self, request: RequestStory) -> None:
        """A client sends a request."""

    def answered(self, request: RequestStory) -> None:
        """The request was answered; or its connection ended, and then it has no status."""


_EVENTS: Final = "opened", "heard", "acknowledged", "ack_arrived", "ended", "asked", "answered"
"""The events that a watcher can see: the names of its methods."""


@dataclass(slots=True)
class History:
    """Clients and faults report to it, and it tells the watchers; *now* is the virtual time."""

    now: Callable[[], float] = trio.current_time
    stop: Callable[[], object] = lambda: None
    """Called when a promise was broken."""
    troubles: Troubles = field(default_factory=Troubles)
    sessions: list[SessionStory] = field(default_factory=list)
    requests: list[RequestStory] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    _told: dict[str, list[Callable[..., object]]] = field(
        default_factory=lambda: {event: [] for event in _EVENTS}
    )

    def watch(self, watcher: Watcher) -> None:
        """Tell *watcher* the events that it overrides, from now on."""
        for event, told in self._told.items():
            # Each frame is an event and there are many watchers, most of which override few events.
            # So only overridden methods are called.
            if getattr(type(watcher), event) is not getattr(Watcher, event):
                told.append(getattr(watcher, event))

    def opened(self, session: SessionStory) -> None:
        self.sessions.append(session)
        for tell in self._told["opened"]:
            tell(session)

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        for tell in self._told["heard"]:
            tell(session, frame, sent_at)

    def acknowledged(self, session: SessionStory, ack: Frame) -> None:
        for tell in self._told["acknowledged"]:
            tell(session, ack)

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        for tell in self._told["ack_arrived"]:
            tell(session, ack)

    def ended(self, session: SessionStory) -> None:
        for tell in self._told["ended"]:
            tell(session)

    def asked(self, request: RequestStory) -> None:
        self.requests.append(request)
        for tell in self._told["asked"]:
            tell(request)

    def answered(self, request: RequestStory) -> None:
        for tell in self._told["answered"]:
            tell(request)

    def trouble(self, who: str, what: str) -> None:
        """*who* begins to suffer *what*.

        *who* is the name of a node (also if its way to the store or the bus is cut), `store`,
        `bus`, or a client: a device as `user/device`, or a producer.
        """
        self.troubles.begin(who, what, self.now())

    def mended(self, who: str, what: str) -> None:
        """*who* no longer suffers *what*; also called for a fault that takes no time."""
        self.troubles.end(who, what, self.now())

    def violated(self, violation: Violation) -> None:
        """A promise was broken; the run ends soon."""
        self.violations.append(violation)
        self.stop()


def sequence_of(cursor: str) -> int:
    """The sequence in a cursor: `<epoch>.<sequence>`, perhaps with `~` and a horizon, or `0`."""
    return int(cursor.rpartition(".")[2].partition("~")[0])
