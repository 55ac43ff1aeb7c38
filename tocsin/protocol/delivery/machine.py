"""The whole of one device's delivery, from its hello to its goodbye, as one machine.

`DeviceSession` decides what is pushed and when again. Around it stands all that a device needs
besides: where it starts, and where anew if the log is purged under it; what is read, and when again
after a failure; its heartbeat and the end of its token; what it is told of the hops, and what the
other nodes are told of it; and how it ends. Which of that may happen when is one table of phases
and inputs (`phases`).

Inputs are method calls that take *now* (monotonic seconds) and *now_ms* (wall, Unix milliseconds)
where they need them; each raises `OutOfPhase` where it cannot come. Outputs are values
(`values`), which `actors/delivery/device.py` carries out. There is one deadline,
`next_deadline`, which may be early but is never late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, assert_never

from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery import session
from tocsin.protocol.delivery.expiry import Expiry
from tocsin.protocol.delivery.heartbeat import Heartbeat, Pulse
from tocsin.protocol.delivery.phases import Input, Phase
from tocsin.protocol.delivery.presence import RETRY_DELAY, DevicePresence
from tocsin.protocol.delivery.session import DeviceSession
from tocsin.protocol.delivery.values import (
    AnnounceArrival,
    AskPage,
    AskPlace,
    Attachment,
    BeginAt,
    DeliveryTerms,
    End,
    Hops,
    LogPage,
    Note,
    Output,
    Say,
    SendPing,
    welcome,
)
from tocsin.protocol.errors import AckedUnsent
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor, ResetReason
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.push import CaughtUp, LogEntry, Push, Recounted

HOLD: Final = 0.25
"""Seconds between two looks whether what the other nodes do is known again."""

_LIVE: Final = Phase.LIVE
_RESTING: Final = Phase.RESTING
"""Read once: in Python 3.11, to look up a member costs as much as a call. Most inputs come
in this phase and stay in it, so `changed` and `said` look into the table in the others only."""
_END_OF_TOKEN: Final = End(Closing.UNAUTHENTICATED, detail="token_expired: the token has run out.")


class DeviceDelivery(DevicePresence):
    """See the module. *random* gives numbers in [0, 1), for the jitter of delays."""

    __slots__ = (
        "_asked_head",
        "_began",
        "_due",
        "_epoch",
        "_expiry",
        "_heartbeat",
        "_held_until",
        "_horizon",
        "_is_doubtful",
        "_resumed",
        "_retry_at",
        "_seen_at",
        "_sent_before",
        "_session",
        "_start",
    )

    def __init__(
        self, terms: DeliveryTerms, random: Callable[[], float], now: float, now_ms: int
    ) -> None:
        super().__init__(terms, random, now)
        self._heartbeat = Heartbeat(terms.heartbeat, now)
        self._expiry = Expiry(terms.expires_at, terms.heartbeat)
        self._expiry.look(now, now_ms)
        # When the device is to be noted as seen again.
        self._seen_at = now + terms.seen_interval
        # The earlier of that and of the heartbeat's deadline; only `tick` moves the two.
        self._due = min(self._heartbeat.deadline, self._seen_at)
        self._retry_at = math.inf
        self._held_until = -math.inf
        self._is_doubtful = False
        self._session: DeviceSession | None = None
        self._epoch = ""
        self._start = self._began = self._horizon = 0
        # The head that was known when a page was last asked for.
        self._asked_head = 0
        self._resumed = False
        # The last place that was sent before the log was purged under the session.
        self._sent_before = 0

    # --- Where it starts -------------------------------------------------------------------------

    def attached(
        self, attachment: Attachment, head: int, hops: Hops, now: float, now_ms: int
    ) -> list[Output]:
        """The store says where to start; the log has the head *head* by now, or a later one."""
        arrives = self._take(Input.ATTACHED) is Phase.ATTACHING
        start = attachment.start
        told = attachment.unread, attachment.unseen
        if self._session is not None:
            told = self._session.counters
            self._sent_before = max(self._sent_before, self._session.position)
        self._epoch, self._horizon = attachment.epoch, attachment.horizon
        self._start, self._began = start.sequence, max(head, attachment.head)
        self._resumed = arrives and start.resumed
        outputs: list[Output] = [
            BeginAt(Cursor(self._epoch, start.sequence, horizon=self._horizon))
        ]
        if arrives:
            outputs.append(Say(welcome(self._terms, attachment)))
            if not hops.bus:
                outputs.append(Say(hops.status))
        if (reset := start.reset if arrives else ResetReason.HORIZON) is not None:
            outputs.append(Say(frames.Reset(reset)))
        if arrives:
            outputs.append(AnnounceArrival(attachment.head))
            self._told_at = now
        self._session = begun = self._new_session(told)
        if self._is_doubtful:
            begun.doubt()
        return outputs + self._deliver(begun.begin(), now_ms)

    # --- The log ---------------------------------------------------------------------------------

    def changed(
        self, entry: LogEntry, now: float, now_ms: int
    ) -> tuple[Push, DeliveryRecord] | list[Output]:
        """The user's log has a new entry.

        A push comes by itself, with its line for the ledger, because it comes far more often than
        all else. No page is read behind it: what there was to read was asked for before, and a push
        makes no room. Nor does it move the cursor.
        """
        before = self.phase
        if before is not _LIVE:
            self._take(Input.CHANGED)
        current = self._session
        if current is None:
            return []
        if before is _RESTING:
            current.heard_of(entry.sequence)
            return []
        if self._expiry.has_passed(now_ms):
            return self._end_of_token()
        push = current.live(entry, now, now_ms)
        return self._noted((), now_ms) if push is None else (push, current.sent(push))

    def heard_of(self, head: int, now_ms: int) -> list[Output]:
        """The user's log reaches *head*, but the entries were missed: read them."""
        self._take(Input.HEARD_OF)
        if self._session is None:
            return []
        self._session.heard_of(head)
        return self._noted((), now_ms)

    def recounted(self, now_ms: int) -> list[Output]:
        """Something of the user's has expired: see whether what the device was told still holds."""
        self._take(Input.RECOUNTED)
        return self._look(now_ms)

    def compared(self, unread: int, unseen: int, now_ms: int) -> list[Output]:
        """The store has told another device these counters: look, if this one was told others.

        A device that is behind, or has not caught up yet, is told the counters in any case.
        """
        self._take(Input.COMPARED)
        current = self._session
        if current is None or self.phase not in (_LIVE, _RESTING) or current.is_behind:
            return []
        return [] if current.counters == (unread, unseen) else self._look(now_ms)

    def page(self, page: LogPage, now: float, now_ms: int) -> list[Output]:
        """The page that was asked for."""
        self._take(Input.PAGE)
        current = self._session
        assert current is not None
        if page.horizon > self._horizon and page.horizon > current.position:
            # Purged under the reader: what is missing cannot be replayed, so say so (P4). As the
            # device then drops what it has acknowledged, the store has to know that it begins anew.
            self._take(Input.PURGED)
            self._cursor = Cursor(self._epoch, 0, everything=True)
            return [AskPlace(self._cursor)]
        before = current.position
        outputs = current.page(
            *(page.entries, page.through, page.head, page.head),
            *(now, now_ms, (page.unread, page.unseen)),
        )
        lags = page.head < self._asked_head
        if lags and current.position == before and current.is_behind:
            # The store knows less than the session did as it asked: a replica that lags. Asking
            # again at once would be asking for ever. News since then is no sign of that: the
            # page may have been read before it, and the next one has it.
            self._retry_at = now + self._spread(RETRY_DELAY)
        return self._deliver(outputs, now_ms)

    def page_failed(self, now: float) -> None:
        """The store could not read the page: ask again a little later."""
        self._take(Input.PAGE_FAILED)
        assert self._session is not None
        self._session.page_failed()
        self._retry_at = now + self._spread(RETRY_DELAY)

    # --- The device ------------------------------------------------------------------------------

    def said(self, frame: frames.Ack | frames.Nack, now: float, now_ms: int) -> list[Output]:
        """The device acknowledged or refused pushes."""
        before = self.phase
        if before is not _LIVE:
            self._take(Input.SAID)
        current = self._session
        if current is None:
            detail = "Nothing was sent yet that could be acknowledged."
            return self._goodbye(before, End(Closing.MALFORMED, detail=detail))
        if isinstance(frame, frames.Nack):
            wanted = current.nack(frame.id, frame.reason, frame.after, now, now_ms)
            return self._deliver(wanted, now_ms)
        if frame.ids is not None:
            return self._noted(current.ack_ids(frame.ids, now_ms), now_ms)
        try:
            records = current.ack_through(frame.sequence or 0, now_ms)
        except AckedUnsent:
            if (frame.sequence or 0) <= self._sent_before:
                # It was on its way when the device was told to begin anew.
                return []
            detail = f"ack: the sequence {frame.sequence} was not sent on this session."
            return self.end(Closing.MALFORMED, detail=detail)
        return self._noted(records, now_ms)

    def acknowledged(self, through: int | None, ids: Iterable[str], now_ms: int) -> list[Output]:
        """The device has acknowledged, and the store has noted it, without this connection."""
        self._take(Input.ACKNOWLEDGED)
        if self._session is None:
            return []
        return self._noted(self._session.acknowledged(through, ids, now_ms), now_ms)

    def taken(self, sequence: int, now_ms: int) -> list[Output]:
        """The transport has handed over everything up to *sequence*, so there is room again."""
        self._take(Input.TAKEN)
        if self._session is None:
            return []
        self._session.taken(sequence)
        return self._noted((), now_ms)

    def refreshed(self, expires_at: int | None, now: float, now_ms: int) -> None:
        """The connection showed a newer token, which ends at *expires_at* (Unix milliseconds)."""
        self._take(Input.REFRESHED)
        self._expiry = Expiry(expires_at, self._terms.heartbeat)
        self._expiry.look(now, now_ms)

    # --- The hops ---------------------------------------------------------------------------------

    def store_changed(self, hops: Hops, now_ms: int, *, is_back: bool) -> list[Output]:
        """The store was lost, or is back."""
        self._take(Input.HOPS_CHANGED)
        if self._session is None:
            return []
        said: list[Output] = [Say(hops.status)]
        if not is_back:
            return said
        # A change that was being committed when it was lost may be in the log, unannounced.
        self._retry_at = math.inf
        return said + self._look(now_ms)

    def bus_changed(self, hops: Hops, now_ms: int, *, is_back: bool) -> list[Output]:
        """The bus was lost, or is back; the entries that were missed are looked for elsewhere."""
        self._take(Input.HOPS_CHANGED)
        said: list[Output] = [] if self._session is None else [Say(hops.status)]
        # An expiry moves no head, so one that was missed would not be noticed.
        return said + self._look(now_ms) if is_back else said

    # --- Time ------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """A time (monotonic) no later than the first that `tick` has something to do at."""
        # Compared one by one, for this is asked after everything that happens.
        deadline = self._due
        if self._retry_at < deadline:
            deadline = self._retry_at
        if self._expiry.next_look < deadline:
            deadline = self._expiry.next_look
        if self._session is not None and (resend := self._session.next_deadline()) < deadline:
            deadline = max(resend, min(self._held_until, deadline))
        return deadline

    def tick(self, now: float, now_ms: int, last_heard: float, *, is_current: bool) -> list[Output]:
        """Do what is due: send again, ping, note that the device is here, end what has expired.

        The peer was last heard at *last_heard*; *is_current* says whether what the other nodes do
        is known here. If not, what would be sent again may have been withdrawn there: wait.
        """
        self._take(Input.TICK)
        outputs: list[Output] = []
        pulse = self._heartbeat.check(now, last_heard)
        if pulse is Pulse.LOST:
            return self.end(Closing.HEARTBEAT_LOST, self._spread(RETRY_DELAY))
        if pulse is Pulse.PING:
            outputs.append(SendPing())
        is_seen = self._seen_at <= now
        if is_seen:
            self._seen_at = now + self._terms.seen_interval
        self._due = min(self._heartbeat.deadline, self._seen_at)
        if self._expiry.has_passed(now_ms):
            return outputs + self._end_of_token()
        self._expiry.look(now, now_ms)
        if self._retry_at <= now:
            self._retry_at = math.inf
        current = self._session
        if current is None:
            return outputs
        # While a session begins anew, the cursor of the old one is void.
        if is_seen and self.phase is _LIVE:
            outputs.append(Note((), current.noted_cursor(now_ms)))
        is_due = current.next_deadline() <= now
        if is_due and not is_current:
            self._held_until = now + HOLD
            is_due = False
        return outputs + self._deliver(current.expire(now, now_ms) if is_due else (), now_ms)

    # --- Inside ----------------------------------------------------------------------------------

    def _new_session(self, told: tuple[int, int]) -> DeviceSession:
        terms = self._terms
        return DeviceSession(
            *(terms.user, terms.device, self._start, self._began),
            *(terms.limits, self._random, terms.acknowledging, told),
        )

    def _look(self, now_ms: int) -> list[Output]:
        """Read on, though the log is not known to reach further: at once, or when it can be."""
        if self._session is None:
            # The answer on its way may be from before that.
            self._is_doubtful = True
            return []
        self._session.doubt()
        return self._noted((), now_ms)

    def _deliver(self, wanted: Sequence[session.Output], now_ms: int) -> list[Output]:
        """Do what the session has *wanted*, and note it."""
        current = self._session
        assert current is not None
        outputs: list[Output] = []
        records: list[DeliveryRecord] = []
        goodbye: End | None = None
        for each in wanted:
            match each:
                case DeliveryRecord():
                    records.append(each)
                case Push():
                    if self._expiry.has_passed(now_ms):
                        goodbye = _END_OF_TOKEN
                        break  # Nothing is said of what would have come behind it.
                    outputs.append(each)
                    records.append(current.sent(each))
                case CaughtUp(sequence=sequence):
                    self._take(Input.SYNCED)
                    outputs.append(Say(frames.Synced(sequence)))
                case Recounted(unread=unread, unseen=unseen):
                    outputs.append(Say(frames.Counters(unread, unseen)))
                case Closing():
                    goodbye = End(each, self._spread(RETRY_DELAY))
                case _:
                    assert_never(each)
        if goodbye is None:
            return outputs + self._noted(records, now_ms)
        cursor = current.cursor_moved(now_ms)
        if records or cursor is not None:
            outputs.append(Note(records, cursor))
        return outputs + self._goodbye(self._take(Input.ENDED), goodbye)

    def _noted(self, records: Sequence[DeliveryRecord], now_ms: int) -> list[Output]:
        """Note *records* in the ledger, and read on if there is room."""
        current = self._session
        assert current is not None
        cursor = current.cursor_moved(now_ms)
        outputs: list[Output] = []
        if records or cursor is not None:
            outputs.append(Note(records, cursor))
        if self._retry_at < math.inf or self.phase is _RESTING:
            return outputs
        if (wanted := current.wants_page()) is not None:
            self._asked_head = current.known_head
            outputs.append(AskPage(self._start, self._began, self._resumed, wanted))
        return outputs

    def _end_of_token(self) -> list[Output]:
        return self._goodbye(self._take(Input.ENDED), _END_OF_TOKEN)
