"""The surroundings of a `DeviceSession`, played: the user's actor, and judges of its outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from tests.protocol.device_model_kit import DeviceModel, Sent
from tests.protocol.flight_model_kit import FlightModel
from tests.protocol.log_model_kit import EPOCH, LogModel, Page, Row
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.session import DeviceSession, Output
from tocsin.protocol.delivery.terms import Acknowledging, SessionLimits
from tocsin.protocol.log.cursor import Cursor, Start, parse_cursor
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.push import CaughtUp, LogEntry, PageWanted, Push

RESEND: Final = Backoff(initial=10.0, cap=60.0)
SESSION: Final = "the session"
"""One name for all: each begins behind the end of the one before, or its node has died."""


def answered_in(records: Sequence[DeliveryRecord], now_ms: int) -> set[int]:
    """The sequences that *records* say were acknowledged at *now_ms*; the others say "sent"."""
    assert {record.acknowledged_at for record in records} <= {now_ms, None}
    return {record.sequence for record in records if record.acknowledged_at is not None}


class SessionStage:
    """A session, the truth about its log, and its device.

    *news* are changes on their way to the session, *wanted* and *page* a read on its way, *known*
    the head that the session was told of, and *began* the head when it began.
    Things that are *quick* go on by themselves, the rest waits to be called.
    """

    limits: SessionLimits
    acknowledging: Acknowledging
    session: DeviceSession
    start: Start
    quick: dict[str, bool]
    news: list[LogEntry]
    wanted: PageWanted | None
    page: Page | None
    began: int
    known: int

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.jitters = 0
        self.log = LogModel()
        self.device = DeviceModel()
        self.flight = FlightModel()

    @property
    def now_ms(self) -> int:
        return int(self.now * 1000)

    # --- A session begins ------------------------------------------------------------------------

    def connect(self, cursor: str, *, node_died: bool = False) -> None:
        if node_died:
            self.log.die()
        else:
            self.log.leave(SESSION)
        requested = None
        if cursor == "own" and self.device.cursor is not None:
            requested = Cursor(EPOCH, self.device.cursor)
        elif cursor == "backup" and self.device.backup is not None:
            requested = Cursor(EPOCH, self.device.restore())
        elif cursor == "0":
            requested = parse_cursor("0", EPOCH)
        elif cursor == "foreign":
            requested = Cursor("e0", 3)
        self.start = start = self.log.attach(requested, SESSION)
        anew = cursor == "0" or start.reset is not None
        self.device.connect(start.sequence, self.log.unread, anew=anew)
        self.began = self.known = self.log.head
        self.news = []
        self.wanted = self.page = None
        self.flight = FlightModel()
        self.is_caught_up = self.is_doubtful = False
        self.cursor = start.sequence
        self.session = DeviceSession(
            "ann",
            "phone",
            start.sequence,
            self.began,
            self.limits,
            self._jitter,
            self.acknowledging,
        )
        self.carry_out(self.session.begin())

    @property
    def is_explicit(self) -> bool:
        return self.acknowledging is Acknowledging.EXPLICIT

    # --- Things that go on -----------------------------------------------------------------------

    def let_the_quick_go_on(self) -> None:
        while self.next_quick_thing():
            pass

    def next_quick_thing(self) -> bool:
        if self.quick["news"] and self.news:
            self.hear_news()
        elif self.quick["store"] and self.wanted and not self.page:
            self.read_page(4)
        elif self.quick["store"] and self.page:
            self.get_page()
        elif self.quick["wire"] and self.device.wire:
            self.device.receive()
        elif self.quick["acks"] and self.flight and not self.is_explicit:
            self.take_through(self.flight.last)
        elif self.quick["acks"] and self.device.received and self.flight:
            last = max(sent.sequence for sent in self.device.received)
            if last < min(self.flight.unanswered):
                return False
            self.acknowledge_through(last)
        else:
            return False
        return True

    def hear_news(self) -> None:
        entry = self.news.pop(0)
        push = self.session.live(self.log.as_of_now(entry), self.now, self.now_ms)
        self.known = max(self.known, entry.sequence)
        self.carry_out([] if push is None else [push])

    def hear_of_head(self) -> None:
        self.session.heard_of(self.log.head)
        self.known = self.log.head
        self.carry_out([])

    def read_page(self, rows_max: int) -> None:
        """The store looks now; its answer comes when it comes."""
        assert self.wanted is not None
        self.page = self.log.read(self.wanted, self.start, self.began, rows_max)

    def get_page(self) -> None:
        assert self.page is not None
        page, self.page, self.wanted = self.page, None, None
        self.known = max(self.known, page.head)
        entries = [self.log.as_of_now(entry) for entry in page.entries]
        self.carry_out(
            self.session.page(entries, page.through, page.head, page.counted, self.now, self.now_ms)
        )

    def acknowledge_through(self, sequence: int) -> None:
        confirmed = self.flight.acknowledge_through(sequence)
        records = self.session.ack_through(sequence, self.now_ms)
        assert answered_in(records, self.now_ms) == confirmed
        assert self.session.ack_through(sequence, self.now_ms) == []
        self.carry_out(records)

    def acknowledge_elsewhere(self, through: int | None, ids: list[str]) -> None:
        """The store notes it, and then the session is told."""
        self.log.acknowledge(through, ids)
        confirmed = set() if through is None else self.flight.acknowledge_through(through)
        confirmed |= self.flight.acknowledge_ids(ids)
        records = self.session.acknowledged(through, ids, self.now_ms)
        assert answered_in(records, self.now_ms) == confirmed
        self.carry_out(records)

    def take_through(self, sequence: int) -> None:
        self.flight.acknowledge_through(sequence)
        self.session.taken(sequence)
        self.carry_out([])

    def is_unambiguous(self, notification: str) -> bool:
        """Whether the session can know which change an ack by id answers.

        It cannot if two later ones are on the way, or if one is and the device says it twice.
        """
        coming = self.device.on_the_wire(notification)
        if not coming:
            return True
        latest = self.flight.latest(notification)
        return (
            len(coming) == 1
            and latest is not None
            and latest.sequence == coming[0].sequence
            and self.flight.tries[latest.sequence] == 1
            and bool(self.flight.older(notification))
        )

    # --- Carrying out, and what every output must be ---------------------------------------------

    def _jitter(self) -> float:
        self.jitters += 1
        return (0.0, 0.5, 0.999)[self.jitters % 3]

    def carry_out(self, outputs: Sequence[Output]) -> None:
        session = self.session
        for output in outputs:
            match output:
                case Push():
                    self._check_push(output)
                    self.device.wire.append(Sent.of(output))
                    self.log.record(session.sent(output))
                case DeliveryRecord():
                    self._check_record(output)
                    self.log.record(output)
                case CaughtUp(sequence=sequence):
                    assert not self.is_caught_up
                    assert sequence == session.position == self.known
                    self.is_caught_up = True
                    self.device.wire.append(output)
                case Closing():
                    self._check_closing(output)
                    self.connect("stored")
                    return
        moved = session.cursor_moved(self.now_ms)
        assert session.cursor_moved(self.now_ms) is None
        if moved is not None:
            assert self.log.stored is not None
            assert moved.sequence >= self.log.stored
            assert self.is_explicit
            self.log.stored = moved.sequence
        self._ask_for_page(session)

    def _ask_for_page(self, session: DeviceSession) -> None:
        wanted = session.wants_page()
        window = self.limits.window - len(self.flight)
        size = self.limits.window_bytes - self.flight.size
        behind = self.is_doubtful or session.position < self.known
        assert (wanted is not None) == (not self.wanted and behind and min(window, size) > 0)
        if wanted is not None:
            assert wanted == PageWanted(session.position, window, size, wanted.counted)
            self.wanted = wanted
            self.is_doubtful = False

    def _check_push(self, push: Push) -> None:
        line = self.log.line(push.notification_id)
        before = line.attempts if line.sequence == push.sequence else 0
        assert push.attempt == before + 1 <= self.limits.delivery_attempts_max
        assert push.expires_at is None
        if push.sequence in self.flight.pushed:
            assert self.is_explicit
            assert push.sequence in self.flight.unanswered
            assert self.flight.is_latest(push)
        else:
            assert push.sequence > push.previous == (self.flight.last or self.start.sequence)
            assert push.replay is not self.is_caught_up
            assert len(self.flight) < self.limits.window
            assert self.flight.size < self.limits.window_bytes
        self.flight.push(push)
        if not self.is_explicit:
            assert push.deadline == math.inf
            return
        delay = RESEND.delay(self.flight.tries[push.sequence], 0.5)
        assert 0.8 * delay <= push.deadline - self.now <= 1.2 * delay + 1e-6
        assert self.flight.silent[push.sequence] <= self.limits.resend_limit

    def _check_record(self, record: DeliveryRecord) -> None:
        assert (record.user, record.device) == ("ann", "phone")
        if record.dead_reason is not None:
            assert record.attempts >= self.limits.delivery_attempts_max
            if record.sequence in self.flight.unanswered:
                self.flight.forget(self.flight.unanswered[record.sequence])

    def _check_closing(self, closing: Closing) -> None:
        assert closing is Closing.UNRESPONSIVE
        silent = [self.flight.silent[sequence] for sequence in self.flight.due(self.now)]
        assert max(silent) == self.limits.resend_limit

    def may_lack(self, row: Row) -> bool:
        shown = self.device.shown.get(row.notification, (0, "withdrawn"))[1]
        return (
            self.is_over(row)
            or self.log.line(row.notification).acknowledged >= row.sequence
            or (row.withdrawn and shown == "withdrawn")
        )

    def is_over(self, row: Row) -> bool:
        """Whether nobody owes *row* to the device any more."""
        line = self.log.line(row.notification)
        return row.expired or (line.dead and line.sequence >= row.sequence)
