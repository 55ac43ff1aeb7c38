"""The surroundings of a `DeviceDelivery`, played: store, ledger, wire, other nodes, device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.protocol.device_model_kit import DeviceModel, Sent
from tests.protocol.flight_model_kit import FlightModel
from tests.protocol.log_model_kit import EPOCH, LogModel
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.machine import DeviceDelivery
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.terms import SessionLimits
from tocsin.protocol.delivery.values import (
    AnnounceArrival,
    AnnouncePresence,
    AskPage,
    AskPlace,
    Attachment,
    BeginAt,
    DeliveryTerms,
    End,
    Hops,
    LogPage,
    Note,
    NoteEnd,
    Output,
    Say,
    SendPing,
)
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor, Start
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.push import CaughtUp, LogEntry, Push

HEARTBEAT: Final = 25.0
SEEN_INTERVAL: Final = 15.0
RESEND: Final = Backoff(initial=10.0, cap=60.0)
HAS_SESSION: Final = Phase.REPLAYING, Phase.LIVE, Phase.RESETTING


class DeliveryStage:
    """A delivery, the truth about its log, and its device; see the module.

    *asked* is a question on its way to the store, *answer* what the store has found for it; *known*
    is the head that this node has heard of. *is_current*: what other nodes do is known here.
    Things that are *quick* go on by themselves, the rest waits to be called.
    """

    quick: dict[str, bool]

    limits: SessionLimits
    delivery: DeviceDelivery

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.connections = 0
        self.log = LogModel()
        self.device = DeviceModel()
        self.flight = FlightModel()
        self.hops = Hops(bus=True, store=True)
        self.known = 0
        # Withdrawn and purged, so no device may show it.
        self.gone: set[str] = set()
        self.is_current = self.has_room = self.takes_questions = True
        self.is_unsettled = self.is_mute = False
        self.asked: AskPlace | AskPage | None = None
        self.answer: Attachment | LogPage | None = None

    @property
    def now_ms(self) -> int:
        return int(self.now * 1000)

    @property
    def session(self) -> str:
        """The name of the present connection's session."""
        return f"a/{self.connections}/1"

    @property
    def has_ended(self) -> bool:
        return self.delivery.phase is Phase.ENDED

    @property
    def is_idle(self) -> bool:
        return self.delivery.phase is Phase.LIVE and self.asked is None and self.hops.store

    # --- A connection begins ---------------------------------------------------------------------

    def connect(self, cursor: Cursor | None, expires_at: int | None = None) -> None:
        self.connections += 1
        self.asked = self.answer = None
        self.is_welcome = self.was_asked = self.is_noted = self.is_mute = self.has_failed = False
        self.last_heard = self.now
        self.ends: list[End] = []
        self.device.wire, self.device.received = [], []
        self.flight = FlightModel()
        self.expires_at = expires_at
        terms = DeliveryTerms(
            *("ann", "phone", str(self.connections), "a", self.session),
            *(cursor, self.limits, HEARTBEAT, expires_at),
            seen_interval=SEEN_INTERVAL,
        )
        self.delivery = DeviceDelivery(terms, lambda: 0.5, self.now, self.now_ms)

    # --- Things that go on -----------------------------------------------------------------------

    def next_quick_thing(self) -> bool:
        phase, quick = self.delivery.phase, self.quick
        if quick["nodes"] and phase is Phase.WAITING:
            self.carry_out(self.delivery.listening())
        elif quick["nodes"] and phase is Phase.SETTLING:
            self.carry_out(self.delivery.settled())
        elif quick["store"] and self.hops.store and self.asked and not self.answer:
            self.look_up(4)
        elif quick["answers"] and self.answer and not self.has_ended:
            self.get_answer()
        elif quick["wire"] and self.device.wire:
            self.device.receive()
        elif quick["acks"] and self.can_acknowledge:
            self.acknowledge(max(sent.sequence for sent in self.device.received))
        elif quick["returns"] and self.has_ended and self.has_room and self.takes_questions:
            self.connect(None)
        else:
            return False
        return True

    @property
    def can_acknowledge(self) -> bool:
        received = [sent.sequence for sent in self.device.received]
        return bool(received and self.flight and not self.has_ended) and (
            max(received) >= min(self.flight.unanswered)
        )

    # --- The store -------------------------------------------------------------------------------

    def look_up(self, rows_max: int) -> None:
        """The store looks now; its answer comes when it comes."""
        head = self.log.head
        match self.asked:
            case AskPlace(cursor=cursor):
                start = self.log.attach(cursor, self.session)
                place = start, self.log.head, self.log.horizon, self.log.unread, 0
                self.answer = Attachment(EPOCH, *place)
            case AskPage(start=at, began=began, resumed=resumed, wanted=wanted):
                start = Start(at, None, resumed)
                page = self.log.read(wanted, start, began, rows_max)
                found = page.entries, page.through, head, self.log.horizon, self.log.unread, 0
                self.answer = LogPage(*found)

    def get_answer(self) -> None:
        delivery, answer = self.delivery, self.answer
        self.asked = self.answer = None
        match answer:
            case Attachment():
                if self.is_unsettled and delivery.asks_elsewhere:
                    delivery.unsettled()
                    return
                self.known = max(self.known, answer.head)
                self.carry_out(
                    delivery.attached(answer, self.known, self.hops, self.now, self.now_ms)
                )
            case LogPage(entries=entries, through=through, head=head, horizon=horizon):
                self.known = max(self.known, head)
                fresh = [self.log.as_of_now(entry) for entry in entries]
                page = LogPage(fresh, through, head, horizon, answer.unread, answer.unseen)
                self.carry_out(delivery.page(page, self.now, self.now_ms))

    # --- Its input -------------------------------------------------------------------------------

    def hear(self, entry: LogEntry) -> None:
        self.known = max(self.known, entry.sequence)
        if self.has_ended:
            return
        made = self.delivery.changed(self.log.as_of_now(entry), self.now, self.now_ms)
        if isinstance(made, tuple):
            push, record = made
            assert self.delivery.phase is Phase.LIVE
            self.carry_out([push, Note([record], None)])
            # Behind a push there is nothing to read or to note.
            assert self.ends or self.delivery.heard_of(0, self.now_ms) == []
        else:
            self.carry_out(made)

    def hear_of_head(self) -> None:
        self.known = self.log.head
        if not self.has_ended:
            self.carry_out(self.delivery.heard_of(self.known, self.now_ms))

    def hear_of_expiry(self) -> None:
        if not self.has_ended:
            self.carry_out(self.delivery.recounted(self.now_ms))

    def change_hops(self, hops: Hops) -> None:
        before, self.hops = self.hops, hops
        if hops.bus != before.bus and not self.has_ended:
            is_back = hops.bus
            self.carry_out(self.delivery.bus_changed(hops, self.now_ms, is_back=is_back))
        if hops.store != before.store and not self.has_ended:
            is_back = hops.store
            self.carry_out(self.delivery.store_changed(hops, self.now_ms, is_back=is_back))

    def acknowledge(self, sequence: int) -> None:
        self.last_heard = self.now
        confirmed = self.flight.acknowledge_through(sequence)
        outputs = self.delivery.said(frames.Ack(sequence=sequence), self.now, self.now_ms)
        lines = [line for output in outputs if isinstance(output, Note) for line in output.records]
        assert {line.sequence for line in lines if line.acknowledged_at is not None} == confirmed
        self.carry_out(outputs)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.has_ended:
            return
        if not self.is_mute:
            self.last_heard = self.now
        outputs = self.delivery.tick(
            self.now, self.now_ms, self.last_heard, is_current=self.is_current
        )
        assert self.is_current or not any(isinstance(output, Push) for output in outputs)
        self.carry_out(outputs)
        assert self.ends or self.delivery.next_deadline() > self.now

    # --- Carrying out, and what every output must be ---------------------------------------------

    def carry_out(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            assert not self.ends or isinstance(output, NoteEnd)
            match output:
                case Push():
                    self._send(output)
                case Note(records=records, cursor=cursor):
                    if not self.has_room:
                        self.carry_out(self.delivery.note_refused())
                        return
                    self._record(records)
                    if cursor is not None:
                        assert self.log.stored is not None
                        assert cursor.sequence >= self.log.stored
                        self.log.stored = cursor.sequence
                case AskPlace() | AskPage():
                    assert self.asked is None
                    assert not self.has_ended
                    self.was_asked = True
                    if not self.takes_questions:
                        self.carry_out(self.delivery.ask_refused(Closing.OVERLOADED))
                        return
                    self.asked = output
                    self.has_failed = False
                case BeginAt(cursor=start):
                    self._begin(start)
                case Say(frame=frame):
                    self._say(frame)
                case End():
                    assert self.has_ended
                    self.ends.append(output)
                case NoteEnd(end=end):
                    assert self.was_asked
                    assert output is outputs[-1]
                    self.is_noted = True
                    self.log.leave(end.session)
                case SendPing() | AnnounceArrival() | AnnouncePresence():
                    pass

    def _send(self, push: Push) -> None:
        assert self.is_welcome
        assert self.expires_at is None or self.now_ms < self.expires_at
        assert push.expires_at is None
        self.flight.push(push)
        assert len(self.flight) <= self.limits.window
        self.device.wire.append(Sent.of(push))

    def _record(self, records: Sequence[DeliveryRecord]) -> None:
        for record in records:
            self.log.record(record)
            if record.dead_reason is not None and record.sequence in self.flight.unanswered:
                self.flight.forget(self.flight.unanswered[record.sequence])

    def _begin(self, start: Cursor) -> None:
        while self.device.wire:
            self.device.receive()
        self.flight = FlightModel()
        # The device's screen is dropped with the reset that follows, if one does.
        self.device.connect(start.sequence, self.device.unread, anew=False)

    def _say(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.Welcome():
                assert not self.is_welcome
                self.is_welcome = True
                self.device.unread = frame.unread
                if not frame.resumed:
                    self._start_anew()
            case frames.Reset():
                assert self.is_welcome
                self._start_anew()
            case frames.Synced(sequence=sequence):
                assert sequence == self.known
                self.device.wire.append(CaughtUp(sequence))
            case frames.Counters(unread=unread):
                while self.device.wire:
                    self.device.receive()
                self.device.unread = unread

    def _start_anew(self) -> None:
        self.device.shown = {}
        assert self.device.cursor is not None
        self.device.floor = self.device.cursor
