"""How much a WebSocket may say: token buckets of frames and of bytes.

Turns are what protects neighbours from a client that says much (`turnstile`); this ends the ones
that no legal client comes near. Answers that a client must give are not counted against it: each
push entitles it to a frame more, however fast pushes come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tocsin.protocol import retry_after
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames.frames import WINDOW_MAX
from tocsin.server.websocket.ended import Ended

_BURST: Final = 5.0
"""Seconds for which a client that was silent may be faster: after a reconnect, for example."""
_ANSWER_BYTES: Final = 256
"""Bytes of the answer to a push, generously: an acknowledgment by its id has eighty."""

NEWCOMER_BYTES_MAX: Final = 16 * 1024
"""The largest frame before the hello: twice the longest token."""
_NEWCOMER_FRAMES: Final = 32
"""Frames at once before the hello: each may be a fragment of it."""
_PRODUCER_FRAMES: Final = 50
"""Times a device's frames: a backend speaks for many users."""
_PRODUCER_BYTES: Final = 16
"""Times a device's bytes. Fewer than the frames, as most posts are far smaller than the largest."""


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """Frames and bytes a second, and how much of them at once."""

    frames: float
    bytes: float
    frames_burst: float
    bytes_burst: float


NEWCOMER: Final = PaceLimits(
    _NEWCOMER_FRAMES / 8, NEWCOMER_BYTES_MAX / 4, _NEWCOMER_FRAMES, 2 * NEWCOMER_BYTES_MAX
)
"""The share of a newcomer, who has proved nothing: a hello, in fragments perhaps, and a few pings
while it waits."""


def device_pace(frames: float, bytes_: float) -> PaceLimits:
    """Of a device that may send so many frames and bytes a second."""
    return PaceLimits(frames, bytes_, frames * _BURST, bytes_ * _BURST)


def producer_pace(frames: float, bytes_: float) -> PaceLimits:
    """Of a backend that publishes, where a device may send so many frames and bytes a second."""
    return device_pace(frames * _PRODUCER_FRAMES, bytes_ * _PRODUCER_BYTES)


class Pace:
    """The frames and bytes that one connection may still send; times are Trio's."""

    __slots__ = ("_at", "_bytes", "_frames", "_limits", "_owed")

    def __init__(self, limits: PaceLimits, now: float) -> None:
        self.become(limits, now)

    def become(self, limits: PaceLimits, now: float) -> None:
        """Begin anew, with full buckets."""
        self._limits = limits
        self._owed = 0  # answers
        self._frames, self._bytes, self._at = limits.frames_burst, limits.bytes_burst, now

    @property
    def is_strained(self) -> bool:
        """Whether more than half is gone of what it may say at once."""
        limits = self._limits
        return 2 * self._frames < limits.frames_burst or 2 * self._bytes < limits.bytes_burst

    def entitle(self) -> None:
        """Something was said that is to be answered, in a frame of its own perhaps."""
        # No more than a window of pushes is unanswered at a time.
        if self._owed < WINDOW_MAX:
            self._owed += 1

    def spend(self, frames: int, bytes_: int, now: float) -> None:
        """So much was said; raises `Ended` if that was too much."""
        if self._owed:
            answers = min(frames, self._owed)
            self._owed -= answers
            frames -= answers
            bytes_ = max(0, bytes_ - answers * _ANSWER_BYTES)
        limits, passed, self._at = self._limits, now - self._at, now
        self._frames = min(limits.frames_burst, self._frames + passed * limits.frames) - frames
        self._bytes = min(limits.bytes_burst, self._bytes + passed * limits.bytes) - bytes_
        if self._frames < 0:
            raise _too_much("frames", limits.frames, limits.frames_burst)
        if self._bytes < 0:
            raise _too_much("bytes", limits.bytes, limits.bytes_burst)


def _too_much(what: str, rate: float, burst: float) -> Ended:
    detail = f"More than {burst:.0f} {what} at once, or {rate:.0f} a second."
    return Ended(Closing.RATE_LIMITED, detail, retry_after.FLOODING)
