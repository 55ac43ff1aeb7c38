"""A delivery that outlives its poll: the device rests between an answer and its next poll.

Most devices that poll come back at once, with the cursor that they were given. To begin a session
for each poll would ask the store each time for what is known here: that the device has what it was
sent, and that nothing has happened since. So a session whose poll is answered *rests* for some
seconds. Nothing is pushed meanwhile. A device that *returns* with the very cursor of that answer
goes on, and what it was sent is acknowledged by it, as over a WebSocket.

In all other cases the device begins a session of its own, and the resting one ends: if anything has
happened that a session would have looked for, if the cursor is another one, if the device asks on
other terms. So resting decides nothing about what a device is told: it saves the question where the
answer is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from tocsin.protocol.delivery.expiry import Expiry
from tocsin.protocol.delivery.machine import DeviceDelivery
from tocsin.protocol.delivery.phases import Input, Phase
from tocsin.protocol.delivery.values import (
    Attachment,
    BeginAt,
    DeliveryTerms,
    Note,
    Output,
    Say,
    welcome,
)
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor, Start
from tocsin.protocol.log.ledger import DeviceCursor

REST: Final = 5.0
"""Seconds for which a session waits for its device: to take an answer in and to ask again takes a
phone a second or two, and a session that waits in vain costs its memory."""
_BYTES_MAX: Final = 8 * 1024
"""Bytes of content in flight with which a session rests: eight usual notifications. They are kept
until the device has acknowledged them."""


class RestingDelivery(DeviceDelivery):
    """See the module."""

    __slots__ = ("_rest_until", "_returned_to")

    def __init__(
        self, terms: DeliveryTerms, random: Callable[[], float], now: float, now_ms: int
    ) -> None:
        super().__init__(terms, random, now, now_ms)
        self._rest_until = math.inf
        # The sequence that the device has acknowledged last by coming back with it.
        self._returned_to = -1

    @property
    def can_rest(self) -> bool:
        """Whether the session may rest: there is nothing more to tell, and little to keep."""
        current = self._session
        return (
            self.phase is Phase.LIVE
            and current is not None
            and current.is_whole
            and current.bytes_in_flight <= _BYTES_MAX
        )

    def rest(self, now: float) -> None:
        """The device's poll was answered: the session rests, as `can_rest` says that it may."""
        self._take(Input.RESTED)
        self._due = self._rest_until = now + REST

    def can_return(self, cursor: Cursor | None, window: int) -> bool:
        """Whether a device that comes with *cursor* and asks for *window* goes on in this session.

        Its cursor has to be the one that the session handed out last. Text that is like it but for
        the horizon may be from before that.
        """
        current = self._session
        return (
            self.phase is Phase.RESTING
            and current is not None
            and current.is_whole
            and window == self._terms.limits.window
            and cursor is not None
            and cursor.acknowledges
            and not cursor.everything
            and cursor.sequence == current.position
            and cursor.epoch == self._epoch
            and max(cursor.sequence, cursor.horizon) >= self._horizon
        )

    def returned(self, expires_at: int | None, now: float, now_ms: int) -> list[Output]:
        """The device has come back, as `can_return` says that it may.

        It has all that it was sent, and misses nothing. Its token ends at *expires_at* (Unix
        milliseconds).
        """
        self._take(Input.RETURNED)
        current = self._session
        assert current is not None
        self._expiry = Expiry(expires_at, self._terms.heartbeat)
        self._expiry.look(now, now_ms)
        self._due = min(self._heartbeat.deadline, self._seen_at)
        outputs: list[Output] = []
        position = current.position
        records = current.ack_through(position, now_ms)
        current.go_on()
        if records or position > max(self._start, self._returned_to):
            self._returned_to = position
            cursor = DeviceCursor(self._terms.user, self._terms.device, position, now_ms)
            outputs.append(Note(records, cursor))
        start = Start(position, None, resumed=True)
        place = Attachment(self._epoch, start, position, self._horizon, *current.counters)
        outputs += (
            BeginAt(Cursor(self._epoch, position, horizon=self._horizon)),
            Say(welcome(self._terms, place)),
            Say(frames.Synced(position)),
        )
        return outputs

    def tick(self, now: float, now_ms: int, last_heard: float, *, is_current: bool) -> list[Output]:
        """As `DeviceDelivery.tick`; a session that has rested long enough ends."""
        if self.phase is not Phase.RESTING:
            return super().tick(now, now_ms, last_heard, is_current=is_current)
        self._take(Input.TICK)
        if self._expiry.has_passed(now_ms):
            return self._end_of_token()
        self._expiry.look(now, now_ms)
        return self.left() if self._rest_until <= now else []
