"""The actions of a follower, as values to be carried out in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tocsin_client.frames import Push


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame on the connection."""

    frame: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Show:
    """A push for the program; `Follower.handled` says when it is done with it."""

    push: Push


@dataclass(frozen=True, slots=True)
class Refresh:
    """The token is about to end: `Follower.refreshed` takes a newer one."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The server has let the device in."""

    user: str
    device: str
    unread: int
    unseen: int


@dataclass(frozen=True, slots=True)
class Synced:
    """All that was missed has come; from here on pushes are new."""


@dataclass(frozen=True, slots=True)
class Counters:
    """The counts of unread and unseen, where no push says them: something has expired."""

    unread: int
    unseen: int


@dataclass(frozen=True, slots=True)
class Status:
    """How the server reaches its store and the other nodes: `ok`, or how not."""

    store: str
    bus: str
    raw: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Reset:
    """The server cannot go on from the cursor: what it still has comes from the start."""

    reason: str
    raw: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """The connection is over: come back after *delay* seconds."""

    delay: float
    reason: str
    code: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Over for good: coming back is no use until something has changed."""

    reason: str
    code: int | None = None
    detail: str | None = None


News = Welcome | Synced | Counters | Status | Reset | Wait | Stop
Action = Send | Show | Refresh | News
