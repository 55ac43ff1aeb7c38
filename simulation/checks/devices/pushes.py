"""P2: the pushes of one session are repeated until they are acknowledged, and not after that.

A push is *open* until an acknowledgment that covers it has reached the node. A repetition is wrong
if it left the node after that; both times are by the simulation's clock.

An id does not say which change of a notification it acknowledges, so it is read in two ways, each
in the server's favour. When open pushes are counted against the window, it closes all changes that
it may mean; when a repetition is judged, only a change that it must mean.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simulation.checks.check import SETTINGS, Complaint
from simulation.world.history import Frame
from tocsin.protocol.backoff import Backoff

_GRACE: Final = 0.5
"""Seconds that an acknowledgment may take from the node's door to the user's actor."""
_LATE: Final = 2.0
"""Seconds by which a repetition may be late."""
_AFTERMATH: Final = 10.0
"""Seconds after a trouble in which it may still delay repetitions."""


@dataclass(slots=True, eq=False)
class Pushed:
    """A push and its repetitions; *sent_at* is the time of the last one."""

    sequence: int
    notification: str
    attempt: int
    replay: bool
    sent_at: float
    first_sent_at: float
    expires: bool
    tries: int = 1
    unanswered: int = 1
    due: float = math.inf
    nacked_at: float = -math.inf
    superseded: bool = False


class Pushes:
    """See the module. *delay* in seconds and *limit* are those of the welcome."""

    def __init__(self, delay: float, limit: int, window: int, attempts_max: int) -> None:
        self.open: dict[int, Pushed] = {}
        """The pushes, by sequence, that no acknowledgment can have meant."""
        self.most_unanswered = self.most_tries = 0
        self._backoff = Backoff(delay, SETTINGS.resend_delay_max)
        self._limit = limit
        self._window = window
        self._attempts_max = attempts_max
        self._by_sequence: dict[int, Pushed] = {}
        self._of: dict[str, list[Pushed]] = {}
        self._through: list[int] = []
        self._through_at: list[float] = []
        self._named: dict[str, list[float]] = {}
        self._maybe_named: dict[str, float] = {}
        self._maybe_through = 0, -math.inf
        self._spoken_of: dict[str, list[float]] = {}
        """By notification: the times of all acknowledgments that may be about one of its
        changes."""
        self._next_due = math.inf

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._by_sequence

    def get(self, sequence: int) -> Pushed | None:
        return self._by_sequence.get(sequence)

    def pushed(self, push: Frame, sent_at: float) -> Iterator[Complaint]:
        """*push* is sent for the first time."""
        notification = push["notification"]
        new = Pushed(
            push["sequence"],
            notification["id"],
            push["attempt"],
            push["replay"],
            sent_at,
            sent_at,
            notification["expires_at"] is not None,
        )
        due = sent_at + self._latest(new)
        for earlier in self._of.setdefault(new.notification, []):
            earlier.superseded = True
            if earlier.nacked_at >= sent_at:
                # The nack of the earlier change crossed this push, and the server took it for a
                # nack of this one.
                new.nacked_at, due = earlier.nacked_at, max(due, earlier.due)
        self._of[new.notification].append(new)
        self._by_sequence[new.sequence] = new
        if not self._may_have_met(new):
            self.open[new.sequence] = new
        self._wait(new, due)
        if len(self.open) > self._window:
            filling = sum(
                not (each.expires or self._may_be_over(each)) for each in self.open.values()
            )
            if filling > self._window:
                text = f"{filling} pushes are unanswered, and the window is {self._window}"
                yield Complaint("P6", text)

    def again(self, known: Pushed, push: Frame, sent_at: float) -> Iterator[Complaint]:
        """*known* was sent again, as *push*."""
        sequence = known.sequence
        if push["attempt"] != known.attempt + 1:
            expected = known.attempt + 1
            yield Complaint("P2", f"{sequence} came as attempt {push['attempt']}, not {expected}")
        if known.superseded:
            yield Complaint("P3", f"{sequence} came again after a later change of its notification")
        if push["attempt"] > self._attempts_max:
            yield Complaint("P2", f"{sequence} came as attempt {push['attempt']}")
        answered_at = self._surely_answered(known, sent_at)
        if answered_at < sent_at - _GRACE:
            text = f"{sequence} was sent again at {sent_at:.3f}, acknowledged at {answered_at:.3f}"
            yield Complaint("P2", text, answered_at - _AFTERMATH)
        least = self._backoff.delay(known.tries, 0.0)
        if sent_at - known.sent_at < least - 0.01 and known.nacked_at < known.sent_at:
            waited = sent_at - known.sent_at
            text = f"{sequence} was sent again after {waited:.3f} s, not {least:.3f}"
            yield Complaint("P2", text, known.sent_at)
        known.attempt = push["attempt"]
        known.tries += 1
        if self._was_spoken_of(known, known.sent_at, sent_at):
            known.unanswered = 0
        known.unanswered += 1
        known.sent_at = sent_at
        self.most_unanswered = max(self.most_unanswered, known.unanswered)
        self.most_tries = max(self.most_tries, known.tries)
        if known.unanswered > self._limit:
            text = f"{sequence} was sent {known.unanswered} times to a silent device"
            yield Complaint("P2", text)
        self._wait(known, sent_at + self._latest(known))

    def answered(self, ack: Frame, now: float, *, surely: bool = True) -> None:
        """*ack* has reached a node; *surely* says whether the node is certain to process it."""
        if ack["type"] == "nack":
            self._refused(ack, now)
        elif ack.get("ids") is not None:
            for notification in ack["ids"]:
                self._spoken_of.setdefault(notification, []).append(now)
                if surely:
                    self._named.setdefault(notification, []).append(now)
                else:
                    self._maybe_named[notification] = now
                # It may mean an earlier change; but a device that acknowledges is not silent.
                for push in self._of.get(notification, ()):
                    push.unanswered = 0
                    self.open.pop(push.sequence, None)
        else:
            if not surely:
                self._maybe_through = max(self._maybe_through, (ack["sequence"], now))
            elif not self._through or ack["sequence"] > self._through[-1]:
                self._through.append(ack["sequence"])
                self._through_at.append(now)
            for sequence in [each for each in self.open if each <= ack["sequence"]]:
                del self.open[sequence]

    def is_any_due(self, now: float) -> bool:
        """Whether `overdue` may find something."""
        return now >= self._next_due

    def overdue(self, now: float) -> Iterator[Complaint]:
        """Repetitions that should have left the node before *now*, and did not."""
        if not self.is_any_due(now):
            return
        self._next_due = math.inf
        for push in self.open.values():
            if push.superseded or push.expires or self._may_be_dead(push):
                continue
            if push.due <= now:
                # A node with a gap fetches the missed changes before it repeats a push.
                since = push.sent_at - _AFTERMATH
                text = f"{push.sequence}, sent {push.tries} times, last at {push.sent_at:.3f}"
                yield Complaint("P2", f"{text}, was not sent again by {now:.3f}", since)
                push.due = math.inf
            self._next_due = min(self._next_due, push.due)

    # --- Inside ----------------------------------------------------------------------------------

    def _was_spoken_of(self, push: Pushed, since: float, until: float) -> bool:
        """Whether the device acknowledged it in between, perhaps before it read the push."""
        return any(since < at <= until for at in self._spoken_of.get(push.notification, ()))

    def _refused(self, nack: Frame, now: float) -> None:
        self._spoken_of.setdefault(nack["id"], []).append(now)
        pushes = self._of.get(nack["id"])
        if pushes:
            push, after = pushes[-1], nack.get("after")
            push.nacked_at = now
            push.unanswered = 0
            # The nack may have crossed a repetition, and then counts for that one.
            self._wait(push, now + (2 * self._latest(push) if after is None else after + _LATE))

    def _wait(self, push: Pushed, due: float) -> None:
        push.due = due
        self._next_due = min(self._next_due, due)

    def _may_have_met(self, push: Pushed) -> bool:
        """Whether an acknowledgment that was sent before *push* was read may count for it."""
        through, at = self._maybe_through
        if push.sequence <= through and at >= push.sent_at - _GRACE:
            return True
        # Only behind a reset: the device has acknowledged the push that it got before.
        is_through = bool(self._through) and push.sequence <= self._through[-1]
        if is_through and self._through_at[-1] >= push.sent_at:
            return True
        if self._maybe_named.get(push.notification, -math.inf) >= push.sent_at - _GRACE:
            return True
        named = self._named.get(push.notification)
        return named is not None and named[-1] >= push.sent_at

    def _may_be_over(self, push: Pushed) -> bool:
        """Whether *push*, or a later change of its notification, may have become a dead letter."""
        return any(
            each.sequence >= push.sequence and self._may_be_dead(each)
            for each in self._of[push.notification]
        )

    def _may_be_dead(self, push: Pushed) -> bool:
        return push.attempt >= self._attempts_max

    def _latest(self, push: Pushed) -> float:
        return self._backoff.delay(push.tries, 1.0) + _LATE

    def _surely_answered(self, push: Pushed, before: float) -> float:
        """The time of the first acknowledgment that must mean *push* or more; infinite if none."""
        place = bisect_left(self._through, push.sequence)
        found = self._through_at[place] if place < len(self._through) else math.inf
        for at in self._named.get(push.notification, ()):
            sent = [each for each in self._of[push.notification] if each.first_sent_at <= at]
            if at < before and sent == [push]:
                found = min(found, at)
        # A device that nacks a push after it acknowledged it is sent it again.
        return math.inf if push.nacked_at > found else found
