"""The acknowledgments that are still to come, of each notification whose actor waits for them.

They are counted here and not by the actors, so that a fan-out to a thousand wakes its actor once,
and no actor needs a deadline of its own: all wait equally long, so those that have waited too long
are the first ones here.
"""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 60.0
"""Seconds for which an actor waits for acknowledgments: most come in the first moments, and every
actor costs memory."""


class _Waiting:
    __slots__ = ("left", "until")

    def __init__(self, left: int, until: float) -> None:
        self.left = left
        self.until = until


class Awaited:
    """See the module; times are Trio's."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        # In the order in which they are given up.
        self._waiting: dict[str, _Waiting] = {}

    def expect(self, notification: str, count: int, now: float) -> None:
        """Expect *count* more acknowledgments of *notification*, as long as all those before."""
        if (waiting := self._waiting.pop(notification, None)) is not None:
            count += waiting.left
        self._waiting[notification] = _Waiting(count, now + PATIENCE)

    def acknowledged(self, notification: str) -> bool:
        """Count an acknowledgment of *notification*; whether it was the last that is expected."""
        waiting = self._waiting.get(notification)
        if waiting is None:
            return False
        waiting.left -= 1
        if waiting.left:
            return False
        del self._waiting[notification]
        return True

    def forget(self, notification: str) -> None:
        """Expect no acknowledgment of *notification*."""
        self._waiting.pop(notification, None)

    def give_up(self, now: float) -> list[str]:
        """Forget the notifications whose acknowledgments have taken too long; their ids."""
        late = []
        for notification, waiting in self._waiting.items():
            if waiting.until > now:
                break
            late.append(notification)
        for notification in late:
            del self._waiting[notification]
        return late

    def counts(self) -> dict[str, int]:
        """The number of acknowledgments that are expected of each notification."""
        return {notification: waiting.left for notification, waiting in self._waiting.items()}

    def __contains__(self, notification: str) -> bool:
        return notification in self._waiting
