"""The driver takes each output of a device's delivery to its destination.

Frames go to the outlet, lines to the ledger, questions to the storage actor, and announcements to
the other nodes. The driver decides nothing: if the ledger or the storage actor refuses an output,
it asks the delivery what follows from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from tocsin.actors.delivery.clock import Clock
from tocsin.actors.delivery.messages import Arrived, AttachDone, PageDone, Placed, UserMessage
from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.actors.runtime.ref import Ref, Reply
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.persistence.store.queries import Page, ReadPage
from tocsin.persistence.store.user_commands import Attach
from tocsin.protocol.closing import Closing
from tocsin.protocol.cluster.sightings import Sight
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.resting import RestingDelivery
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.delivery.values import (
    AnnounceArrival,
    AnnouncePresence,
    AskPage,
    AskPlace,
    BeginAt,
    DeliveryTerms,
    End,
    Note,
    NoteEnd,
    Output,
    Say,
    SendPing,
)
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor
from tocsin.protocol.log.push import Push
from tocsin.protocol.values import is_unnamed_device

_SEVERAL: Final = 3
"""Outputs, of which two or more may be for the device; two are a push with its note, mostly."""


class DeliveryDriver:
    """The delivery of one device, and the destinations of its outputs; see the module."""

    __slots__ = (
        *("_clock", "_company", "_counted", "_ref", "_streams", "_terms"),
        *("delivery", "name", "next_deadline", "outlet"),
    )

    def __init__(
        self, user: str, arrived: Arrived, ref: Ref[UserMessage], company: Company, clock: Clock
    ) -> None:
        self.name: Final = arrived.device
        self.outlet = arrived.outlet
        self._ref = ref
        self._company = company
        self._counted: Final = company.timing.by_transport[arrived.outlet.transport]
        self._clock = clock
        # Whether the window moves with what the socket takes.
        self._streams = (
            arrived.outlet.transport == "sse" and arrived.acknowledging is Acknowledging.RESUME
        )
        self._terms = _terms(user, arrived, company, clock)
        self.delivery: Final = RestingDelivery(
            self._terms, company.world.random, clock.now, clock.now_ms
        )
        # The delivery's own method, without one of ours around it: the user's actor asks for the
        # deadline after every message.
        self.next_deadline: Final = self.delivery.next_deadline

    def _carry_out(self, outputs: Sequence[Output]) -> None:
        """Carry out *outputs*; after a refused one, what the delivery wants instead of the rest.

        Of several outputs, those for the device are sent together: a page of pushes is one write.
        """
        if len(outputs) < _SEVERAL:
            # A lone note is what an acknowledgment comes to, so it comes far more often than all
            # else.
            if len(outputs) == 1 and type(note := outputs[0]) is Note:
                self._note(note.records, note.cursor)
            elif outputs:
                self._carry_out_each(outputs)
                if self._streams:
                    self._tell_handed()
            return
        self.outlet.hold()
        try:
            self._carry_out_each(outputs)
        finally:
            self.outlet.let_go()
        if self._streams:
            self._tell_handed()

    def _tell_handed(self) -> None:
        """Tell the delivery up to which push the stream's socket has taken all in this turn.

        A later one is told by a message (`Taken`).
        """
        sequence = self.outlet.take_handed()
        if sequence and self.delivery.phase is not Phase.ENDED:
            self._carry_out(self.delivery.taken(sequence, self._clock.now_ms))

    def _carry_out_each(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case Note(records=records, cursor=cursor):
                    if not self._note(records, cursor):
                        return
                case Push():
                    self.outlet.push(output)
                    self._company.timing.sent(output, self.outlet, self._counted)
                    kind = Sight.PUSHED if output.tries == 1 else Sight.RESENT
                    self._sight(kind, output.notification_id)
                case AskPage() | AskPlace():
                    if not self._ask(output):
                        return
                case Say(frame=frame):
                    self.outlet.say(frame)
                case BeginAt(cursor=start):
                    self.outlet.begin(start)
                    self._sight(Sight.CONNECTED)
                case SendPing():
                    self.outlet.ping()
                case End(closing=closing, after=after, detail=detail):
                    self.outlet.end(closing, after, detail)
                    self._sight(Sight.ENDED, detail=closing.word)
                case NoteEnd(end=end):
                    self._company.ledger.note_end(end, self._clock.now)
                case AnnounceArrival() | AnnouncePresence():
                    self._announce(output)
                case _:
                    assert_never(output)

    def _note(self, records: Sequence[DeliveryRecord], cursor: DeviceCursor | None) -> bool:
        timing = self._company.timing
        for record in records:
            if record.acknowledged_at is not None:
                self._company.acknowledged(record.notification)
                timing.acknowledged(
                    record.notification, self.outlet, self._counted, self._clock.now
                )
                if timing.sightings is not None:
                    self._sight(Sight.ACKNOWLEDGED, record.notification)
            elif record.dead_reason is not None:
                self._counted.died(record)
                self._sight(Sight.DEAD, record.notification, record.dead_reason)
        if self._company.ledger.note(records, cursor, self._clock.now):
            return True
        self._carry_out(self.delivery.note_refused())
        return False

    def _sight(
        self, kind: Sight, notification: str | None = None, detail: str | None = None
    ) -> None:
        """Note something for operators, if one looks on; *detail* is the transport otherwise."""
        if (sightings := self._company.timing.sightings) is not None:
            whose = self._terms.user, self.name
            sightings.take(kind, notification, *whose, detail or self.outlet.transport)

    def _announce(self, word: AnnounceArrival | AnnouncePresence) -> None:
        neighbours, terms = self._company.neighbours, self._terms
        match word:
            case AnnounceArrival(head=head):
                neighbours.device_arrived(terms.user, terms.device, terms.connection, head)
            case AnnouncePresence(since=since):
                neighbours.device_here(terms.user, terms.device, terms.connection, since)
            case _:
                assert_never(word)

    def _ask(self, question: AskPage | AskPlace) -> bool:
        """Ask the storage actor *question*; returns whether it took that. If not, the session ends.

        The device is told the reason in its goodbye.
        """
        try:
            self._company.storage.tell(self._question(question))
        except MailboxFull:
            self._carry_out(self.delivery.ask_refused(Closing.OVERLOADED))
        except ActorStopped:
            self._carry_out(self.delivery.ask_refused(Closing.STORE_UNAVAILABLE))
        else:
            return True
        return False

    def _question(self, question: AskPage | AskPlace) -> StorageMessage:
        connection = self.outlet.connection
        match question:
            case AskPage(start=start, began=began, resumed=resumed, wanted=wanted):
                place = start, wanted.after, wanted.limit, wanted.bytes_max
                whose = self._terms.user, self.name
                query = ReadPage(*whose, *place, began, resumed, wanted.counted)
                found: Reply[Page] = self._ref.piped(lambda done: PageDone(connection, done))
                return Read(query=query, reply=found)
            case AskPlace(cursor=cursor):
                placed: Reply[Placed] = self._ref.piped(lambda done: AttachDone(connection, done))
                return Write(command=self._attach(cursor), reply=placed)
            case _:
                assert_never(question)

    def _attach(self, cursor: Cursor | None) -> Attach:
        terms, settings = self._terms, self._company.settings
        is_unnamed = is_unnamed_device(terms.device)
        return Attach(
            *(terms.user, terms.device, cursor, self._clock.now_ms, terms.session),
            unnamed_max=settings.devices_max if is_unnamed else None,
            named_max=None if is_unnamed else settings.devices_known_max,
        )


def _terms(user: str, arrived: Arrived, company: Company, clock: Clock) -> DeliveryTerms:
    settings, connection = company.settings, arrived.outlet.connection
    limits = settings.limits
    if arrived.window != limits.window:
        limits = replace(limits, window=arrived.window)
    return DeliveryTerms(
        user=user,
        device=arrived.device,
        connection=connection,
        node=settings.node,
        # No other session of the device has this name, on any node, in any incarnation of a node.
        session=f"{settings.node}/{connection}/{clock.now_ms}",
        cursor=arrived.cursor,
        limits=limits,
        heartbeat=settings.heartbeat,
        expires_at=arrived.expires_at,
        acknowledging=arrived.acknowledging,
        seen_interval=settings.seen_interval,
    )
