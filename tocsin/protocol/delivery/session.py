"""One device's session with its user's log: what to push, when to push again, when to give up.

A session never holds the log. It holds a *position* in it (everything up to there was pushed or
rightly left out) and the pushes *in flight* (pushed, not acknowledged), at most `window` of them
and, give or take the last, `window_bytes` of their content. Anything that does not fit waits in the
store and is read when there is room: a slow device costs a bounded number of bytes, and catching up
after a week, after a full window and after a missed wake-up are one and the same thing
(`wants_page`, `page`). A live entry is pushed without reading the store only if it is the very next
one.

How a device acknowledges is a term of its session (`Acknowledging`). One that does so by coming
back with a cursor has pushes in flight only until its transport has taken them (`taken`); nothing
is sent again while it is connected, and its stored cursor stays where the session began.

Inputs are method calls that take `now` (monotonic seconds) and `now_ms` (wall, Unix milliseconds);
outputs are values. There is one deadline, `next_deadline`. It may be early, never late: keeping it
exact would cost a search per acknowledgment, an early wake-up costs one look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.flight import Flight
from tocsin.protocol.delivery.terms import Acknowledging, SessionLimits
from tocsin.protocol.errors import AckedUnsent
from tocsin.protocol.log.ledger import (
    ATTEMPTS_EXHAUSTED,
    DeliveryRecord,
    DeviceCursor,
    dead_on_arrival,
)
from tocsin.protocol.log.push import CaughtUp, LogEntry, PageWanted, Push, Recounted, has_expired

Output = Push | CaughtUp | Recounted | DeliveryRecord | Closing


class DeviceSession:
    """See the module. *random* gives numbers in [0, 1) for the jitter of resends.

    *counters*, unread and unseen, are what the device was told when it was welcomed; `known_head`
    is how far the log is known to reach.
    """

    __slots__ = (
        *("_counted", "_counters", "_cursor", "_doubtful", "_fetching", "_flight", "_limits"),
        *("_previous", "_random", "_resends", "_synced", "device", "known_head", "position"),
        "user",
    )

    def __init__(
        self,
        user: str,
        device: str,
        start: int,
        head: int,
        limits: SessionLimits,
        random: Callable[[], float],
        acknowledging: Acknowledging = Acknowledging.EXPLICIT,
        counters: tuple[int, int] = (0, 0),
    ) -> None:
        self.user: Final = user
        self.device: Final = device
        self.position = start
        self._previous = start
        self._cursor = start
        self.known_head = head
        self._limits = limits
        self._random = random
        self._synced = False
        self._fetching = False
        self._doubtful = False
        self._resends = acknowledging is Acknowledging.EXPLICIT
        self._flight = Flight()
        self._counters = counters
        # Notifications created up to there are counted in what the device was told, by a push or
        # as it was welcomed.
        self._counted = head

    # --- The log ---------------------------------------------------------------------------------

    def begin(self) -> list[Output]:
        """The outputs of the beginning: a device that misses nothing is live without a read."""
        return self._caught_up()

    def live(self, entry: LogEntry, now: float, now_ms: int) -> Push | None:
        """A change was just committed: push it if it is the very next one and there is room."""
        if entry.sequence > self.known_head:
            self.known_head = entry.sequence
        if (
            not self._synced
            or self._fetching
            or entry.sequence != self.position + 1
            or not self._has_room()
        ):
            return None
        self.position = entry.sequence
        if entry.expires_at is not None and has_expired(entry, now_ms):
            return None
        self._counted = entry.sequence
        return self._push(entry, now, now_ms)

    def heard_of(self, head: int) -> None:
        """The log reaches *head*, as was heard without the entries."""
        self.known_head = max(self.known_head, head)

    def doubt(self) -> None:
        """Something may have been committed that nobody was told of, or have expired: look."""
        self._doubtful = True

    def wants_page(self) -> PageWanted | None:
        """The page to read from the store now; answer with `page` or `page_failed`.

        At most one page is being read for a session at any time.
        """
        behind = self._doubtful or self.position < self.known_head
        if self._fetching or not behind or not self._has_room():
            return None
        self._fetching = True
        self._doubtful = False
        limits = self._limits
        return PageWanted(
            self.position,
            limits.window - self.in_flight,
            max(1, limits.window_bytes - self._flight.bytes),
            self._counted,
        )

    def page(
        self,
        entries: Iterable[LogEntry],
        through: int,
        head: int,
        counted: int,
        now: float,
        now_ms: int,
        counters: tuple[int, int] | None = None,
    ) -> list[Output]:
        """The page that was wanted: *entries* in order, complete up to *through*.

        Their counters, which are *counters*, count what was created up to *counted*, which may be
        behind them.
        """
        self._fetching = False
        self.known_head = max(self.known_head, head)
        outputs: list[Output] = []
        for entry in entries:
            if not self._has_room():
                # The store counts the bytes of documents, we those of what the device gets.
                return outputs
            self.position = entry.sequence
            if has_expired(entry, now_ms):
                continue
            if entry.attempts >= self._limits.delivery_attempts_max:
                outputs.append(dead_on_arrival(self.user, self.device, entry, now_ms))
            else:
                self._counted = max(self._counted, counted)
                outputs.append(self._push(entry, now, now_ms))
        self.position = max(self.position, through)
        return outputs + self._caught_up() + self._recounted(counters, counted)

    def page_failed(self) -> None:
        """The page could not be read; `wants_page` will ask again."""
        self._fetching = False
        self._doubtful = True

    # --- The device ------------------------------------------------------------------------------

    def ack_through(self, sequence: int, now_ms: int) -> list[DeliveryRecord]:
        """Everything up to *sequence* has arrived; again is no harm.

        Raises `AckedUnsent` for what was never sent.
        """
        if sequence > self.position:
            raise AckedUnsent(f"acknowledged {sequence}, but {self.position} was the last sent")
        return self._acknowledge_through(sequence, now_ms)

    def ack_ids(self, ids: Iterable[str], now_ms: int) -> list[DeliveryRecord]:
        """These notifications have arrived, as last pushed; ids not in flight are passed over.

        An id does not say which change of a notification it answers (`Flight.answered`): a device
        that is sent something twice is better off than one that is never sent it.
        """
        # Named twice in one breath is still one answer.
        answered = [self._flight.answered(id_) for id_ in dict.fromkeys(ids)]
        return [self.sent(push, now_ms) for push in answered if push is not None]

    def acknowledged(
        self, through: int | None, ids: Iterable[str], now_ms: int
    ) -> list[DeliveryRecord]:
        """The store has noted an acknowledgment that did not come through this session.

        Never an error: it may be of what an earlier session was sent.
        """
        records = [] if through is None else self._acknowledge_through(through, now_ms)
        return records + self.ack_ids(ids, now_ms)

    def taken(self, sequence: int) -> None:
        """Resuming: the transport has handed over everything up to *sequence*."""
        for push in self._flight.through(sequence):
            self._flight.drop(push)

    def nack(
        self, notification_id: str, reason: str | None, after: float | None, now: float, now_ms: int
    ) -> list[Output]:
        """The device could not process it; again after *after* seconds, or as by backoff.

        The attempt counts towards the device's limit, not towards being unresponsive: a device
        that says no is listening.
        """
        push = self._flight.latest(notification_id)
        if push is None:
            return []
        push.unanswered = 0
        # A text with a NUL in it cannot be stored everywhere.
        push.dead_reason = (reason or "refused by the device").replace("\0", "\ufffd")
        if push.attempt >= self._limits.delivery_attempts_max:
            return [self._dead(push)]
        delay = self._resend_delay(push.tries) if after is None else after
        self._flight.set_deadline(push, now + delay)
        return [self.sent(push)]

    # --- Time ------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `expire` wants to be called; infinite while nothing is in flight."""
        return self._flight.first_deadline

    def expire(self, now: float, now_ms: int) -> list[Output]:
        """Push again what is overdue, unless it has expired; a `Closing` at the end is goodbye."""
        flight = self._flight
        if now < flight.first_deadline:
            return []
        outputs: list[Output] = []
        flight.first_deadline = math.inf
        for push in flight:
            if push.deadline > now:
                flight.set_deadline(push, push.deadline)
            elif has_expired(push, now_ms):
                flight.drop(push)
            elif push.attempt >= self._limits.delivery_attempts_max:
                outputs.append(self._dead(push))
            elif push.unanswered >= self._limits.resend_limit:
                outputs.append(Closing.UNRESPONSIVE)
                return outputs
            else:
                push.attempt += 1
                push.tries += 1
                push.unanswered += 1
                # Sent again with what is true now, or a client's numbers would go backwards.
                push.unread, push.unseen = self._counters
                flight.set_deadline(push, now + self._resend_delay(push.tries))
                outputs.append(push)
        return outputs

    # --- The ledger ------------------------------------------------------------------------------

    def cursor_moved(self, now_ms: int) -> DeviceCursor | None:
        """The device's cursor, if it is further than when last asked."""
        cursor = self.cursor
        if cursor == self._cursor:
            return None
        self._cursor = cursor
        return self.noted_cursor(now_ms)

    def noted_cursor(self, now_ms: int) -> DeviceCursor:
        """The device's cursor as it was noted last; it was seen at *now_ms*."""
        return DeviceCursor(self.user, self.device, self._cursor, now_ms)

    @property
    def cursor(self) -> int:
        """Everything up to here is done with: acknowledged, dead or rightly left out.

        Resuming, a session never knows more than it began with.
        """
        if not self._resends:
            return self._cursor
        first = self._flight.first
        return self.position if first is None else first.sequence - 1

    @property
    def is_behind(self) -> bool:
        """Whether the log is known to reach further than was pushed."""
        return self.position < self.known_head

    def go_on(self) -> None:
        """The device has come to `position`, without a push too: its next one comes behind that."""
        self._previous = self.position

    @property
    def is_whole(self) -> bool:
        """Whether the device was pushed all that is known to be in the log, and no page is read."""
        return self._synced and not (self._fetching or self._doubtful or self.is_behind)

    @property
    def counters(self) -> tuple[int, int]:
        """Unread and unseen, as the device was told them last."""
        return self._counters

    @property
    def in_flight(self) -> int:
        """Pushes that the device was sent and has not answered."""
        return len(self._flight)

    @property
    def bytes_in_flight(self) -> int:
        """The bytes of their content."""
        return self._flight.bytes

    @property
    def synced(self) -> bool:
        """Whether the device has caught up once since the session began."""
        return self._synced

    # --- Inside ----------------------------------------------------------------------------------

    def _caught_up(self) -> list[Output]:
        if self._synced or self.position < self.known_head:
            return []
        self._synced = True
        return [CaughtUp(self.position)]

    def _recounted(self, counters: tuple[int, int] | None, counted: int) -> list[Output]:
        """Correct the counters that the device was told, if nothing will come that does so."""
        if counters is None or counters == self._counters:
            return []
        # Entries that came while we looked are read next: counters said live may be from before.
        self.known_head = max(self.known_head, counted)
        if self.is_behind or not self._synced:
            return []
        self._counters = counters
        return [Recounted(*counters)]

    def _has_room(self) -> bool:
        return self._flight.has_room(self._limits.window, self._limits.window_bytes)

    def _acknowledge_through(self, sequence: int, now_ms: int) -> list[DeliveryRecord]:
        done = self._flight.through(sequence)
        for push in done:
            self._flight.drop(push)
        if len(done) == 1 and not done[0].superseded:
            # As nearly all acknowledgments: a push, and nothing behind it.
            return [self.sent(done[0], now_ms)]
        # The last of each notification. Also where a later change of it is still in flight: the
        # device has the notification, so it counts as delivered.
        last = {push.notification_id: push for push in done}
        records = []
        for push in last.values():
            records.append(self.sent(push, now_ms))
            later = self._flight.latest(push.notification_id) if push.superseded else None
            if later is not None and self._flight.older(later):
                # The answer says that nothing older is unanswered, but something in between is.
                records.append(self.sent(later))
        return records

    def _push(self, entry: LogEntry, now: float, now_ms: int) -> Push:
        push = Push(
            sequence=entry.sequence,
            previous=self._previous,
            change=entry.change,
            attempt=entry.attempts + 1,
            replay=not self._synced,
            unread=entry.unread,
            unseen=entry.unseen,
            notification_id=entry.notification_id,
            notification=entry.notification,
            first_sent_at=now_ms,
            deadline=now + self._resend_delay(1) if self._resends else math.inf,
            expires_at=entry.expires_at,
        )
        self._flight.add(push)
        self._previous = entry.sequence
        self._counters = entry.unread, entry.unseen
        return push

    def _resend_delay(self, tries: int) -> float:
        return self._limits.resend.delay(tries, self._random())

    def _dead(self, push: Push) -> DeliveryRecord:
        self._flight.drop(push)
        return self.sent(push, dead_reason=push.dead_reason or ATTEMPTS_EXHAUSTED)

    def sent(
        self, push: Push, acknowledged_at: int | None = None, dead_reason: str | None = None
    ) -> DeliveryRecord:
        """The ledger's line for a push that was handed to the connection, and maybe answered."""
        return DeliveryRecord(
            self.user,
            self.device,
            push.notification_id,
            push.sequence,
            push.attempt,
            push.first_sent_at,
            acknowledged_at,
            dead_reason,
            self._flight.oldest(push) if push.older else 0,
        )
