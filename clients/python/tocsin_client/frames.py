"""The frames of the server, as a client reads them.

Lenient where the server is strict: fields and types that a later server adds are passed over, so
that an older client goes on working. A frame that lacks what this client stands on is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


class NotAFrame(Exception):
    """This is no frame of Tocsin's: something else is at the other end."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification as its user sees it; times are texts of RFC 3339, in UTC."""

    id: str
    title: str
    body: str | None = None
    url: str | None = None
    data: Any = None
    category: str = "default"
    priority: str = "normal"
    topic: str | None = None
    revision: int = 1
    state: str = "unseen"
    created_at: str | None = None
    updated_at: str | None = None
    expires_at: str | None = None
    seen_at: str | None = None
    read_at: str | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """One change of the user's log. *change* is `created`, `updated`, `state` or `withdrawn`,
    *raw* the frame as it came."""

    sequence: int
    previous: int
    change: str
    notification: Notification
    unread: int = 0
    unseen: int = 0
    replay: bool = False
    attempt: int = 1
    raw: str = field(default="", repr=False, compare=False)


Frame = Mapping[str, Any]


def read_frame(text: str | bytes) -> Frame:
    """The frame in *text*, whose `type` is a text. Raises `NotAFrame`."""
    try:
        frame = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NotAFrame(str(error)[:200]) from None
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise NotAFrame("it has no type")
    return frame


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def read_push(frame: Frame, raw: str) -> Push:
    """The push in *frame*. Raises `NotAFrame`."""
    said = wanted(frame, "notification", dict)
    known = {name: said[name] for name in Notification.__slots__ if name in said}
    wanted(said, "id", str)
    wanted(said, "title", str)
    return Push(
        wanted(frame, "sequence", int),
        wanted(frame, "previous", int),
        wanted(frame, "change", str),
        Notification(**known),
        unread=count(frame, "unread"),
        unseen=count(frame, "unseen"),
        replay=frame.get("replay") is True,
        attempt=count(frame, "attempt", 1),
        raw=raw,
    )


def wanted(frame: Frame, name: str, kind: type[T]) -> T:
    """The field *name*, which is a *kind*. Raises `NotAFrame`."""
    value = frame.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise NotAFrame(f"{frame.get('type', 'notification')} without {name}")
    return value


def count(frame: Frame, name: str, otherwise: int = 0) -> int:
    """The number in *name*, or *otherwise*."""
    value = frame.get(name, otherwise)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number else otherwise
