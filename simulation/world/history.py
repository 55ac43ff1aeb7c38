"""What clients did and saw: told by devices and producers as it happens, judged by the checks.

Everything here is what somebody outside the nodes could know, and one thing more: when a frame left
its node and when a client's word reached it, by the clock of the simulation. So a check can tell a
repetition that crossed its acknowledgment from one that came after it.

What goes wrong is told here as well, when it begins and when it ends, by whoever makes it go wrong.
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
    """One session of a device, or one poll: *host* is the node's name, *process* its number there.

    *transport* is `websocket`, `stream` (which acknowledges by coming back), `stream-explicit` or
    `poll`. *hello* is what it asked for: the cursor, or `None`.
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
    """One request of a client: *operation* as in `node.Request`; what it was answered, if it was.

    *attempt* (1, 2, …) counts repetitions with the same idempotency *key*. *body* and *answer* are
    JSON read; where it was refused, *answer* is the problem's code, a text. What is asked by a
    frame (`publish`, `mark`) is told the same way, with the operation that does it over HTTP.
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
    """Overrides what it wants to see. Must not change anything that a run depends on."""

    def opened(self, session: SessionStory) -> None:
        """A session asks to begin."""

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        """A frame reached the device; it left the node at *sent_at*. A poll's answer is a frame of
        type `changes`."""

    def acknowledged(self, session: SessionStory, ack: Frame) -> None:
        """The device has sent *ack* (`sequence` or `ids`, or the `nack`)."""

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        """*ack* has reached the node's process, which runs."""

    def ended(self, session: SessionStory) -> None:
        """The session is over for the device."""

    def asked(self, request: RequestStory) -> None:
        """A client sends a request."""

    def answered(self, request: RequestStory) -> None:
        """It was answered; or its connection ended, then it has no status."""


_EVENTS: Final = "opened", "heard", "acknowledged", "ack_arrived", "ended", "asked", "answered"
"""What a watcher can see, by its methods."""


@dataclass(slots=True)
class History:
    """Where it is told, and what was found; *now* is the simulation's time."""

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
        """Tell *watcher*, from now on, what it wants to see."""
        for event, told in self._told.items():
            # Most want to see little, there are many, and they are told of each frame.
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
        """*who* begins to suffer *what*: a node's name (also where its way to store or bus is cut),
        `store`, `bus`, or a client (a device as `user/device`, a producer)."""
        self.troubles.begin(who, what, self.now())

    def mended(self, who: str, what: str) -> None:
        """That is over, and told also of what takes no time, such as a connection that is cut."""
        self.troubles.end(who, what, self.now())

    def violated(self, violation: Violation) -> None:
        """A promise was broken; the run ends soon."""
        self.violations.append(violation)
        self.stop()
