"""One connected device of an online user: between its session, its outlet and the store.

Owned by the user actor, which calls it; it has no task of its own. `DeviceSession` decides, this
carries out: frames to the outlet, lines to the ledger, questions to the store.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from tocsin.actors.delivery.messages import Arrived, AttachDone, PageDone, UserMessage
from tocsin.actors.delivery.surroundings import Clock, Company
from tocsin.actors.delivery.wording import entries_of, welcome
from tocsin.actors.runtime import ActorStopped, MailboxFull, Ref, Reply
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.persistence.store import (
    AcknowledgedPartly,
    Attach,
    Attached,
    Counters,
    Page,
    ReadPage,
    TooMany,
)
from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor, ResetReason
from tocsin.protocol.expiry import Expiry
from tocsin.protocol.heartbeat import Heartbeat, Pulse
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor, SessionEnd
from tocsin.protocol.push import CaughtUp, LogEntry, Push, Recounted
from tocsin.protocol.session import AckedUnsent, DeviceSession, Output
from tocsin.protocol.values import is_unnamed_device

_HOLD: Final = 0.25
"""Seconds between two looks whether what the other nodes do is known again."""
RETRY_DELAY: Final = 1.0
"""Seconds, to twice as many, before trying again what the store could not do."""


class ConnectedDevice:
    """See the module. `ended` once goodbye has been said."""

    __slots__ = (
        "_acknowledging",
        "_attaching",
        "_began",
        "_clock",
        "_company",
        "_cursor",
        "_expiry",
        "_heartbeat",
        "_horizon",
        "_is_noted",
        "_name",
        "_recounts",
        "_ref",
        "_resumed",
        "_retry_at",
        "_session",
        "_start",
        "_user",
        "_window",
        "asks_elsewhere",
        "echoed",
        "ended",
        "name",
        "outlet",
        "since",
    )

    def __init__(
        self, user: str, arrived: Arrived, ref: Ref[UserMessage], company: Company, clock: Clock
    ) -> None:
        self.name: Final = arrived.device
        self.outlet: Final = arrived.outlet
        self.since: Final = clock.now
        self.ended = False
        self.echoed = False
        """Whether the other nodes have been told of it."""
        self._user = user
        self._ref = ref
        self._company = company
        self._clock = clock
        # No other session of the device has this name, on any node, in any of its lives.
        self._name = f"{company.settings.node}/{self.outlet.connection}/{clock.now_ms}"
        self._is_noted = True
        self._attaching = False
        self.asks_elsewhere = not arrived.tells_all
        self._cursor = arrived.cursor
        self._window = arrived.window
        self._acknowledging = arrived.acknowledging
        self.refreshed(arrived.expires_at)
        self._heartbeat = Heartbeat(company.settings.heartbeat, clock.now)
        self._retry_at = math.inf
        self._start = self._began = self._horizon = 0
        self._resumed = False
        self._recounts = False
        self._session: DeviceSession | None = None

    # --- What happens to it ----------------------------------------------------------------------

    def attach(self, *, again: bool = False) -> None:
        """Ask the store where to start: once, or *again* where it has to be asked once more."""
        if self._attaching and not again:
            return
        self._attaching = True
        settings, connection = self._company.settings, self.outlet.connection
        is_unnamed = is_unnamed_device(self.name)
        command = Attach(
            self._user,
            self.name,
            self._cursor,
            self._clock.now_ms,
            self._name,
            unnamed_max=settings.devices_max if is_unnamed else None,
            named_max=None if is_unnamed else settings.devices_known_max,
        )
        reply: Reply[Attached | AcknowledgedPartly | TooMany] = self._ref.piped(
            lambda done: AttachDone(connection, done)
        )
        self._tell_storage(Write(command=command, reply=reply))

    def attached(self, attached: Attached, head: int) -> bool:
        """Start as the store says, *head* being the log's as known here; whether it arrives so."""
        start, arrives = attached.start, self._session is None
        self._resumed = arrives and start.resumed
        told = attached.counters.unread, attached.counters.unseen
        if self._session is not None:
            told = self._session.counters
        session = self._begin(start.sequence, max(head, attached.head), attached.horizon, told)
        if arrives:
            names = self._user, self.name, self.outlet.connection
            self.outlet.say(welcome(*names, self._window, self._company, attached))
            if not self._company.bus.available:
                self._say_status()
        if (reset := start.reset if arrives else ResetReason.HORIZON) is not None:
            self.outlet.say(frames.Reset(reset))
        if self._recounts:
            session.doubt()
        self._carry_out(session.begin())
        return arrives

    def changed(self, entry: LogEntry) -> None:
        """The user's log has a new entry."""
        session, clock = self._session, self._clock
        if session is None or self._has_expired():
            return
        push = session.live(entry, clock.now, clock.now_ms)
        if push is None:
            self._carry_out(())
            return
        # As `_carry_out` does it, for what comes far more often than all else. What is in flight
        # does not move the cursor.
        self.outlet.push(push)
        self._note((session.sent(push),), None)
        self._read_on(session)

    def heard_of(self, head: int) -> None:
        """The user's log reaches *head*, but the entries were missed: read them."""
        if self._session is not None:
            self._session.heard_of(head)
            self._carry_out(())

    def recount(self) -> None:
        """Something of the user's has expired: see whether what the device was told still holds."""
        if self._session is None:
            # The answer on its way may be from before that.
            self._recounts = True
            return
        self._session.doubt()
        self._carry_out(())

    def doubts(self, counters: Counters) -> bool:
        """Whether the device was told something else than *counters*, and is told nothing more."""
        session = self._session
        if session is None or session.is_behind or not session.synced:
            return False
        return session.counters != (counters.unread, counters.unseen)

    def page_read(self, page: Page) -> None:
        """The page that was asked for."""
        session, clock = self._session, self._clock
        assert session is not None
        if page.horizon > self._horizon and page.horizon > session.position:
            # Purged under the reader: what is missing cannot be replayed, so say so (P4). As the
            # device then drops what it has acknowledged, the store has to know that it begins anew.
            self._cursor = Cursor(self._company.status.epoch, 0, everything=True)
            self.attach(again=True)
            return
        before = session.position
        counters = page.counters.unread, page.counters.unseen
        outputs = session.page(
            *(entries_of(page), page.through, page.head, page.head),
            *(clock.now, clock.now_ms, counters),
        )
        if session.position == before and session.is_behind:
            # The store knows less than we were told: a replica that lags. Asking again at once
            # would be asking for ever.
            self._retry_at = clock.now + self._spread(RETRY_DELAY)
        self._carry_out(outputs)

    def page_failed(self) -> None:
        """The store could not read the page: ask again a little later."""
        assert self._session is not None
        self._session.page_failed()
        self._retry_at = self._clock.now + self._spread(RETRY_DELAY)

    def said(self, frame: frames.Ack | frames.Nack) -> None:
        """The device acknowledged or refused pushes."""
        session, clock = self._session, self._clock
        if session is None:
            self.end(Closing.MALFORMED, detail="Nothing was sent yet that could be acknowledged.")
            return
        outputs: Sequence[Output]
        if isinstance(frame, frames.Nack):
            outputs = session.nack(frame.id, frame.reason, frame.after, clock.now, clock.now_ms)
        elif frame.ids is not None:
            outputs = session.ack_ids(frame.ids, clock.now_ms)
        else:
            try:
                outputs = session.ack_through(frame.sequence or 0, clock.now_ms)
            except AckedUnsent:
                detail = f"ack: the sequence {frame.sequence} was not sent on this session."
                self.end(Closing.MALFORMED, detail=detail)
                return
        self._carry_out(outputs)

    def acknowledged(self, through: int | None, ids: Iterable[str], session: str | None) -> None:
        """The device has acknowledged, and the store has noted it, without this connection.

        *ids* are of *session*, and mean nothing in a later one.
        """
        if self._session is not None:
            ids = ids if session == self._name else ()
            self._carry_out(self._session.acknowledged(through, ids, self._clock.now_ms))

    def taken(self, sequence: int) -> None:
        """The transport has handed over everything up to *sequence*, so there is room again."""
        if self._session is not None:
            self._session.taken(sequence)
            self._carry_out(())

    def refreshed(self, expires_at: int | None) -> None:
        """The connection showed a newer token."""
        self._expiry = Expiry(expires_at, self._company.settings.heartbeat)
        self._expiry.look(self._clock.now, self._clock.now_ms)

    def store_changed(self, available: bool) -> None:
        """The store was lost or is back."""
        session = self._session
        if session is None:
            return
        self._say_status()
        if available:
            # What was being committed when it was lost may be in the log, unannounced.
            session.doubt()
            self._retry_at = math.inf
            self._carry_out(())

    def bus_changed(self) -> None:
        """The bus was lost or is back; what was missed in between, others look for."""
        if self._session is not None:
            self._say_status()

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Say goodbye, once; *after* in seconds, *detail* what was wrong."""
        if not self.ended:
            self.ended = True
            self.outlet.end(closing, after, detail)

    def left(self) -> None:
        """It is over: nothing is sent any more, and the ledger knows what was."""
        if self._attaching and self._is_noted:
            end = SessionEnd(self._user, self.name, self._name)
            self._company.ledger.note_end(end, self._clock.now)

    # --- Time ------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """A time (Trio) no later than the first that `check` has something to do at."""
        return min(
            self._heartbeat.deadline, self._retry_at, self._expiry.next_look, self._next_resend()
        )

    def check(self) -> None:
        """Do what is due: send again, ping, end what has expired or gone."""
        clock = self._clock
        match self._heartbeat.check(clock.now, self.outlet.last_heard):
            case Pulse.LOST:
                self.end(Closing.HEARTBEAT_LOST, self._spread(RETRY_DELAY))
                return
            case Pulse.PING:
                self.outlet.ping()
            case Pulse.QUIET:
                pass
        if self._has_expired():
            return
        self._expiry.look(clock.now, clock.now_ms)
        if self._retry_at <= clock.now:
            self._retry_at = math.inf
        if self._session is not None:
            due = self._next_resend() <= clock.now
            self._carry_out(self._session.expire(clock.now, clock.now_ms) if due else ())

    # --- Inside ----------------------------------------------------------------------------------

    def _begin(
        self, start: int, head: int, horizon: int, counters: tuple[int, int]
    ) -> DeviceSession:
        limits = self._company.settings.limits
        if self._window != limits.window:
            limits = replace(limits, window=self._window)
        self._start, self._began, self._horizon = start, head, horizon
        self.outlet.begin(Cursor(self._company.status.epoch, start, horizon=horizon))
        self._session = DeviceSession(
            self._user,
            self.name,
            start,
            head,
            limits,
            self._company.world.random,
            self._acknowledging,
            counters,
        )
        return self._session

    def _has_expired(self) -> bool:
        """Whether the token has ended; then so has the session. Asked before whatever is pushed."""
        if self._expiry.has_passed(self._clock.now_ms):
            self.end(Closing.UNAUTHENTICATED, detail="token_expired: the token has run out.")
            return True
        return False

    def _next_resend(self) -> float:
        now, due = self._clock.now, math.inf
        if self._session is not None:
            due = self._session.next_deadline()
        if due <= now and not self._company.neighbours.is_current:
            # What is to be sent again may have been withdrawn elsewhere.
            return now + _HOLD
        return due

    def _say_status(self) -> None:
        bus, store = self._company.bus.available, self._company.status.available
        self.outlet.say(frames.Status(bus="ok" if bus else "lost", store="ok" if store else "lost"))

    def _carry_out(self, outputs: Sequence[Output]) -> None:
        """Do what the session wants, note it in the ledger, and read on if there is room."""
        session = self._session
        assert session is not None
        records: list[DeliveryRecord] = []
        for output in outputs:
            match output:
                case Push():
                    if not self._has_expired():
                        self.outlet.push(output)
                        records.append(session.sent(output))
                case DeliveryRecord():
                    records.append(output)
                    if output.acknowledged_at is not None:
                        self._company.acknowledged(output.notification)
                case CaughtUp(sequence=sequence):
                    self.outlet.say(frames.Synced(sequence))
                case Recounted(unread=unread, unseen=unseen):
                    self.outlet.say(frames.Counters(unread, unseen))
                case Closing():
                    self.end(output, self._spread(RETRY_DELAY))
        cursor = session.cursor_moved(self._clock.now_ms)
        if records or cursor is not None:
            self._note(records, cursor)
        self._read_on(session)

    def _read_on(self, session: DeviceSession) -> None:
        if self.ended or self._retry_at < math.inf or (wanted := session.wants_page()) is None:
            return
        connection = self.outlet.connection
        place = self._start, wanted.after, wanted.limit, wanted.bytes_max
        query = ReadPage(self._user, self.name, *place, self._began, self._resumed, wanted.counted)
        reply: Reply[Page] = self._ref.piped(lambda done: PageDone(connection, done))
        self._tell_storage(Read(query=query, reply=reply))

    def _note(self, records: Sequence[DeliveryRecord], cursor: DeviceCursor | None) -> None:
        if not self._company.ledger.note(records, cursor, self._clock.now):
            # The device comes back, is told again and acknowledges again: nothing is lost.
            self._is_noted = False
            self.end(Closing.OVERLOADED, self._spread(RETRY_DELAY))

    def _tell_storage(self, message: StorageMessage) -> None:
        try:
            self._company.storage.tell(message)
        except MailboxFull:
            self.end(Closing.OVERLOADED, self._spread(RETRY_DELAY))
        except ActorStopped:
            self.end(Closing.STORE_UNAVAILABLE, self._spread(RETRY_DELAY))

    def _spread(self, delay: float) -> float:
        return delay * (1.0 + self._company.world.random())
