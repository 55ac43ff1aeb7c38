"""One connected device of an online user: messages to the device become inputs of its delivery.

`DeviceDelivery` decides, and `DeliveryDriver` carries out the decisions. The user's actor owns the
connected device and calls it; the device has no task of its own. Messages are of three kinds: for
this connection, for the device wherever it is connected, and for all devices of the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, assert_never

from tocsin.actors.delivery.driver import DeliveryDriver
from tocsin.actors.delivery.messages import (
    Acknowledged,
    Arrived,
    ArrivedElsewhere,
    AttachDone,
    BusChanged,
    ConnectionMessage,
    CountersFound,
    DeviceAnswered,
    DeviceMessage,
    DeviceRemoved,
    Disconnect,
    Echoed,
    HeadMoved,
    HereElsewhere,
    Introduce,
    Left,
    Listening,
    MessageForAll,
    PageDone,
    Refreshed,
    Rested,
    Settled,
    StoreChanged,
    Taken,
    UserRecounted,
)
from tocsin.actors.delivery.wording import attachment_of, page_of
from tocsin.actors.runtime.errors import ActorError, ActorStopped
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import Counters, TooMany
from tocsin.persistence.store.user_commands import AcknowledgedPartly
from tocsin.protocol.closing import Closing
from tocsin.protocol.cluster.sightings import Sight
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.presence import RETRY_DELAY
from tocsin.protocol.delivery.values import Hops, Output
from tocsin.protocol.frames.frames import Nack
from tocsin.protocol.log.push import LogEntry

RESTING_MAX: Final = 10_000
"""Devices of a node that rest at a time: some 40 MiB, and 80 more where all have much in flight.
Others begin a session with each poll."""


class ConnectedDevice(DeliveryDriver):
    """A device on one connection; see the module."""

    __slots__ = ()

    # --- Events ----------------------------------------------------------------------------------

    def changed(self, entry: LogEntry) -> None:
        """Take a new *entry* of the user's log."""
        clock = self._clock
        made = self.delivery.changed(entry, clock.now, clock.now_ms)
        if isinstance(made, tuple):
            push, record = made
            self.outlet.push(push)
            self._counted.pushes += 1
            timing = self._company.timing
            timing.pushed(push.notification_id, self.outlet)
            if timing.sightings is not None:
                self._sight(Sight.PUSHED, push.notification_id)
            if not self._company.ledger.note((record,), None, clock.now):
                self._carry_out(self.delivery.note_refused())
            elif self._streams:
                self._tell_handed()
        else:
            self._carry_out(made)

    def receive(self, message: ConnectionMessage, head: int) -> None:
        """Take a message for this connection; the user's log has *head*."""
        delivery, now, now_ms = self.delivery, self._clock.now, self._clock.now_ms
        outputs: Sequence[Output] = ()
        match message:
            case DeviceAnswered(frame=frame):
                if type(frame) is Nack:
                    self._counted.refused += 1
                    self._sight(Sight.REFUSED, frame.id)
                outputs = delivery.said(frame, now, now_ms)
            case Taken(sequence=sequence):
                outputs = delivery.taken(sequence, now_ms)
            case AttachDone():
                outputs = self._attach_done(message, head)
            case PageDone():
                outputs = self._page_done(message)
            case Refreshed(expires_at=expires_at):
                delivery.refreshed(expires_at, now, now_ms)
            case Settled():
                outputs = delivery.settled()
            case Echoed():
                delivery.echoed()
            case Left():
                if not self.rests:
                    self._sight(Sight.ENDED, detail="left")
                outputs = delivery.left()
            case Rested():
                self._sight(Sight.ENDED, detail="left")
                outputs = self._rest()
            case _:
                assert_never(message)
        self._carry_out(outputs)

    def receive_named(self, message: DeviceMessage) -> None:
        """Take a message for the device, which may be about another of its connections."""
        delivery = self.delivery
        match message:
            case Acknowledged(through=through, ids=ids, session=session):
                # The ids are of the session that was open when the device acknowledged, and mean
                # nothing in a later one.
                meant = ids if session == self._terms.session else ()
                outputs = delivery.acknowledged(through, meant, self._clock.now_ms)
            case DeviceRemoved():
                outputs = delivery.end(Closing.DISCONNECTED)
            case ArrivedElsewhere():
                outputs = delivery.arrived_elsewhere(self._clock.now)
            case HereElsewhere(since=since, rank=rank):
                outputs = delivery.is_elsewhere(since, rank)
            case _:
                assert_never(message)
        self._carry_out(outputs)

    def receive_common(self, message: MessageForAll) -> None:
        """Take a message for all devices of the user."""
        delivery, now_ms = self.delivery, self._clock.now_ms
        outputs: Sequence[Output] = ()
        match message:
            case HeadMoved(head=head):
                outputs = delivery.heard_of(head, now_ms)
            case UserRecounted():
                outputs = delivery.recounted(now_ms)
            case CountersFound(counters=counters):
                outputs = delivery.compared(counters.unread, counters.unseen, now_ms)
            case StoreChanged(available=is_back):
                outputs = delivery.store_changed(self._hops, now_ms, is_back=is_back)
            case BusChanged(available=is_back):
                outputs = delivery.bus_changed(self._hops, now_ms, is_back=is_back)
            case Listening():
                outputs = delivery.listening()
            case Introduce():
                outputs = delivery.asked_for()
            case Disconnect(closing=closing, before=before):
                if delivery.since < before:
                    outputs = delivery.end(closing)
            case _:
                assert_never(message)
        self._carry_out(outputs)

    def compare(self, counters: Counters) -> None:
        """Take the user's *counters*, which the store has told another device of the user."""
        self.receive_common(CountersFound(counters))

    def replace(self) -> None:
        """End the session: the device has connected again."""
        self._carry_out(self.delivery.end(Closing.REPLACED))

    def fail(self) -> None:
        """End the connection: the user's actor has ended.

        The delivery is not asked, because the actor may have ended of a bug in it.
        """
        if self.delivery.phase is not Phase.ENDED:
            self.outlet.end(Closing.INTERNAL_ERROR, RETRY_DELAY)

    # --- Between two polls -----------------------------------------------------------------------

    @property
    def rests(self) -> bool:
        """Whether the device is between two polls."""
        return self.delivery.phase is Phase.RESTING

    def can_return(self, arrived: Arrived) -> bool:
        """Whether the poll that has *arrived* goes on where the one before it was answered."""
        return (
            self.rests
            and arrived.outlet.transport == self.outlet.transport
            and self._company.status.available
            and self.delivery.can_return(arrived.cursor, arrived.window)
        )

    def take_back(self, arrived: Arrived) -> None:
        """Go on with the poll that has *arrived*, as `can_return` says that is possible."""
        self.outlet = arrived.outlet
        self._company.users.resting.discard((self._terms.user, self.name))
        clock = self._clock
        self._carry_out(self.delivery.returned(arrived.expires_at, clock.now, clock.now_ms))

    def _rest(self) -> Sequence[Output]:
        """Rest, where it is known here what the device would be told, and by which nodes.

        In a cluster it is not: the device may poll another node next, and come back here before
        that is heard. Only the store knows then which session is the device's, so each poll asks.
        """
        delivery, resting = self.delivery, self._company.users.resting
        is_alone = self._company.neighbours.is_alone
        if not (is_alone and delivery.can_rest and len(resting) < RESTING_MAX):
            return delivery.left()
        delivery.rest(self._clock.now)
        resting.add((self._terms.user, self.name))
        return ()

    def check(self) -> None:
        """Do what is due: resend pushes, ping, end a session that has expired or is silent."""
        clock, is_current = self._clock, self._company.neighbours.is_current
        last_heard = self.outlet.last_heard
        self._carry_out(
            self.delivery.tick(clock.now, clock.now_ms, last_heard, is_current=is_current)
        )

    # --- Answers of the store --------------------------------------------------------------------

    def _attach_done(self, done: AttachDone, head: int) -> Sequence[Output]:
        delivery = self.delivery
        try:
            attached = done.outcome.unwrap()
        except (StoreUnavailable, ActorError):
            return delivery.end(Closing.STORE_UNAVAILABLE, RETRY_DELAY)
        except StoreFailed:
            # A bug, which the storage actor has logged; the user's other devices go on.
            return delivery.end(Closing.INTERNAL_ERROR, RETRY_DELAY)
        if isinstance(attached, TooMany):
            return delivery.end(Closing.TOO_MANY_DEVICES)
        if isinstance(attached, AcknowledgedPartly):
            return delivery.acknowledged_partly()
        if self._is_settled_elsewhere(attached.open_session):
            delivery.unsettled()
            return ()
        attachment = attachment_of(attached, self._company.status.epoch)
        clock = self._clock
        return delivery.attached(attachment, head, self._hops, clock.now, clock.now_ms)

    def _is_settled_elsewhere(self, session: str | None) -> bool:
        """Whether another node has yet to write the acknowledgments it received in *session*.

        If so, it is asked to write them, and this device is told `Settled` afterwards.
        """
        if session is None or not self.delivery.asks_elsewhere:
            return False
        connection, ref = self.outlet.connection, self._ref

        def settled() -> None:
            with suppress(ActorStopped):
                ref.tell_beyond(Settled(connection))

        return self._company.neighbours.settle(self._terms.user, session, settled)

    def _page_done(self, done: PageDone) -> Sequence[Output]:
        delivery, clock = self.delivery, self._clock
        try:
            page = done.outcome.unwrap()
        except (StoreUnavailable, ActorError):
            delivery.page_failed(clock.now)
            return ()
        except StoreFailed:
            return delivery.end(Closing.INTERNAL_ERROR, RETRY_DELAY)
        return delivery.page(page_of(page), clock.now, clock.now_ms)

    @property
    def _hops(self) -> Hops:
        return Hops(self._company.bus.available, self._company.status.available)
