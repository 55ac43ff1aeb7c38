"""One online user: its devices, and the timers of what they have not acknowledged.

The actor never waits for anything but its mailbox. What it wants from the store comes back as a
message, what it sends is taken by the outlet at once, and all timers are one deadline. So one
device, however slow, delays no other, not even of the same user.

The deadline may be early, never late: an exact one would mean to look at every device after every
message, an early one means to look once too often.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import assert_never

import outcome

from tocsin.actors.delivery.device import RETRY_DELAY, ConnectedDevice
from tocsin.actors.delivery.messages import (
    Acknowledged,
    Arrived,
    ArrivedElsewhere,
    AttachDone,
    BusChanged,
    DeviceRemoved,
    Disconnect,
    Echoed,
    HeadMoved,
    HereElsewhere,
    Introduce,
    Left,
    Listening,
    LogChanged,
    PageDone,
    Recounted,
    Refreshed,
    Said,
    Settle,
    Settled,
    StoreChanged,
    Taken,
    UserMessage,
)
from tocsin.actors.delivery.rivals import is_older
from tocsin.actors.delivery.surroundings import Clock, Company
from tocsin.actors.runtime import ActorError, ActorStopped, PromptActor, Ref
from tocsin.persistence.store import (
    AcknowledgedPartly,
    Attached,
    StoreFailed,
    StoreUnavailable,
    TooMany,
)
from tocsin.protocol.closing import Closing
from tocsin.protocol.notification import client_view
from tocsin.protocol.push import LogEntry


class UserActor(PromptActor[UserMessage]):
    """Passivated when its last device has left; see the module."""

    __slots__ = (
        "_clock",
        "_company",
        "_deadline",
        "_devices",
        "_head",
        "_listening",
        "_ref",
        "_user",
    )

    def __init__(self, user: str, company: Company) -> None:
        self._user = user
        self._company = company
        self._clock = Clock(company.world)
        self._devices: dict[str, ConnectedDevice] = {}
        self._head = 0
        self._listening = False
        self._deadline = math.inf
        self._ref: Ref[UserMessage]

    def begin(self, ref: Ref[UserMessage]) -> None:
        """Devices have their answers sent to *ref*."""
        self._ref = ref

    def ended(self, *, failed: bool) -> None:
        """The last device has left; or else those that are here are told."""
        self._company.absent(self._user)
        self._company.users.ended(self._user)
        self._company.neighbours.leave(self._user)
        for device in self._devices.values():
            device.end(Closing.INTERNAL_ERROR, RETRY_DELAY)

    def dropped(self, message: UserMessage) -> None:
        """A device that is not known yet would wait for its welcome for ever."""
        if isinstance(message, Arrived) and message.outlet.connection not in self._devices:
            message.outlet.end(Closing.INTERNAL_ERROR, RETRY_DELAY)
        elif isinstance(message, Settle):
            message.reply.set(None)

    def receive(self, message: UserMessage) -> None:
        """Handle one message."""
        self._clock.tick()
        match message:
            case LogChanged():
                self._log_changed(message)
            case Said():
                # These two first: they are nearly all that comes.
                self._said(message)
            case Arrived():
                self._arrived(message)
            case StoreChanged(available=available):
                for device in list(self._devices.values()):
                    device.store_changed(available)
                    self._after(device)
            case Disconnect(closing=closing, before=before):
                for device in self._devices.values():
                    if device.since < before:
                        device.end(closing)
                self._forget_ended()
            case HeadMoved(head=head):
                self._catch_up(head)
            case Recounted():
                self._recount()
            case Acknowledged(device=name) | DeviceRemoved(device=name):
                for device in list(self._devices.values()):
                    if device.name == name:
                        self._tell_of_store(device, message)
                        self._after(device)
            case Left(connection=connection):
                self._remove(connection)
            case Settle():
                message.reply.set(None)
            case Settled(connection=connection):
                if (waiting := self._devices.get(connection)) is not None:
                    waiting.attach(again=True)
                    self._after(waiting)
            case Refreshed() | Taken() | AttachDone() | PageDone():
                concerned = self._devices.get(message.connection)
                if concerned is not None:
                    self._tell(concerned, message)
                    self._after(concerned)
                elif isinstance(message, AttachDone):
                    self._attached_too_late(message)
            case (
                BusChanged()
                | Listening()
                | Echoed()
                | ArrivedElsewhere()
                | Introduce()
                | HereElsewhere()
            ):
                self._heard_of_others(message)
            case _:
                assert_never(message)
        if (missed := self._company.users.take_missed(self._user)) is not None:
            self._catch_up(missed)
            self._recount()
        if not self._devices:
            self._company.users.retire(self._user)

    def next_deadline(self) -> float:
        """A time no later than the first of all devices' deadlines."""
        return self._deadline

    def on_deadline(self, now: float) -> None:
        """Let every device look at the time; then find the next deadline."""
        self._clock.tick()
        self._deadline = math.inf
        for device in list(self._devices.values()):
            device.check()
            self._after(device)
        if not self._devices:
            self._company.users.retire(self._user)

    # --- Inside ----------------------------------------------------------------------------------

    def _arrived(self, arrived: Arrived) -> None:
        for device in self._devices.values():
            if device.name == arrived.device:
                device.end(Closing.REPLACED)
        self._forget_ended()
        if len(self._devices) >= self._company.settings.devices_max:
            detail = f"A user has at most {self._company.settings.devices_max} sessions at a time."
            arrived.outlet.end(Closing.OVERLOADED, RETRY_DELAY, detail)
            return
        device = ConnectedDevice(self._user, arrived, self._ref, self._company, self._clock)
        self._devices[arrived.outlet.connection] = device
        # Before the store is read: what is committed after that elsewhere is then heard here.
        self._listening = self._listening or self._company.neighbours.listen(self._user, self._ref)
        if self._listening:
            device.attach()
        self._after(device)

    def _said(self, message: Said) -> None:
        device = self._devices.get(message.connection)
        if device is not None:
            device.said(message.frame)
            self._after(device)

    def _tell(
        self, device: ConnectedDevice, message: Refreshed | Taken | AttachDone | PageDone
    ) -> None:
        match message:
            case Refreshed(expires_at=expires_at):
                device.refreshed(expires_at)
            case Taken(sequence=sequence):
                device.taken(sequence)
            case AttachDone(outcome=answer):
                try:
                    attached = answer.unwrap()
                except (StoreUnavailable, ActorError):
                    device.end(Closing.STORE_UNAVAILABLE, RETRY_DELAY)
                    return
                except StoreFailed:
                    # A bug, and logged where it was found; the user's other devices go on.
                    device.end(Closing.INTERNAL_ERROR, RETRY_DELAY)
                    return
                if isinstance(attached, TooMany):
                    device.end(Closing.TOO_MANY_DEVICES)
                    return
                if isinstance(attached, AcknowledgedPartly):
                    device.attach(again=True)
                    return
                if not self._is_settled_elsewhere(device, attached):
                    self._attached(device, attached)
            case PageDone(outcome=answer):
                try:
                    page = answer.unwrap()
                except (StoreUnavailable, ActorError):
                    device.page_failed()
                    return
                except StoreFailed:
                    device.end(Closing.INTERNAL_ERROR, RETRY_DELAY)
                    return
                device.page_read(page)

    def _tell_of_store(
        self, device: ConnectedDevice, message: Acknowledged | DeviceRemoved
    ) -> None:
        match message:
            case Acknowledged(through=through, ids=ids, session=session):
                device.acknowledged(through, ids, session)
            case DeviceRemoved():
                device.end(Closing.DISCONNECTED)

    def _attached(self, device: ConnectedDevice, attached: Attached) -> None:
        company, known = self._company, self._head
        if attached.behind:
            company.behind(self._user)
        self._reach(attached.head)
        if device.attached(attached, self._head):
            names = self._user, device.name, device.outlet.connection
            company.neighbours.device_arrived(*names, attached.head)
        if attached.head > known:
            # Arriving brings what is new in the user's topics, for the others as well.
            self._catch_up(attached.head)
        for other in list(self._devices.values()):
            if other is not device and other.doubts(attached.counters):
                other.recount()
                self._after(other)

    def _is_settled_elsewhere(self, device: ConnectedDevice, attached: Attached) -> bool:
        """Whether another node has yet to write what *device* has said to it. If so, the device
        attaches again when that is done.
        """
        session, connection = attached.open_session, device.outlet.connection
        if session is None or not device.asks_elsewhere:
            return False
        device.asks_elsewhere = False
        ref = self._ref

        def settled() -> None:
            with suppress(ActorStopped):
                ref.tell_beyond(Settled(connection))

        if not self._company.neighbours.settle(self._user, session, settled):
            return False
        self._arrived_with(attached)
        return True

    def _arrived_with(self, attached: Attached) -> None:
        """Tell the others what an arrival brought, in the place of who has left or comes again."""
        if attached.behind:
            self._company.behind(self._user)
        self._catch_up(attached.head)

    def _attached_too_late(self, done: AttachDone) -> None:
        """The device has gone; nobody else tells the others what its arrival brought."""
        if isinstance(done.outcome, outcome.Value):
            attached = done.outcome.value
            if isinstance(attached, TooMany | AcknowledgedPartly):
                return
            self._arrived_with(attached)

    def _log_changed(self, message: LogChanged) -> None:
        position, shared, state = message.position, message.shared, message.state
        self._reach(position.sequence)
        entry = LogEntry(
            position.sequence,
            shared.notification,
            shared.change,
            shared.unseen_view
            if state is None
            else client_view(shared.document, state.state, state.seen_at, state.read_at),
            position.unread,
            position.unseen,
            expires_at=shared.expires_at,
        )
        for device in list(self._devices.values()):
            device.changed(entry)
            self._after(device)

    def _catch_up(self, head: int) -> None:
        self._reach(head)
        for device in list(self._devices.values()):
            device.heard_of(head)
            self._after(device)

    def _recount(self) -> None:
        for device in list(self._devices.values()):
            device.recount()
            self._after(device)

    def _reach(self, head: int) -> None:
        self._head = max(self._head, head)
        self._company.users.reached(self._user, self._head)

    def _after(self, device: ConnectedDevice) -> None:
        if device.ended:
            self._remove(device.outlet.connection)
        else:
            deadline = device.next_deadline()
            if deadline < self._deadline:
                self._deadline = deadline

    def _forget_ended(self) -> None:
        for connection, device in list(self._devices.items()):
            if device.ended:
                self._remove(connection)

    def _remove(self, connection: str) -> None:
        device = self._devices.pop(connection, None)
        if device is not None:
            device.left()

    # --- The other nodes -------------------------------------------------------------------------

    def _heard_of_others(
        self,
        message: BusChanged | Listening | Echoed | ArrivedElsewhere | Introduce | HereElsewhere,
    ) -> None:
        devices = list(self._devices.values())
        match message:
            case BusChanged(available=available):
                for device in devices:
                    device.bus_changed()
                if available:
                    # That something expired moves no head, so it would not be missed.
                    self._recount()
            case Listening():
                self._listening = True
                for device in devices:
                    device.attach()
                    self._after(device)
            case Echoed(connection=connection):
                if connection in self._devices:
                    self._devices[connection].echoed = True
            case ArrivedElsewhere(device=name, head=head):
                for device in devices:
                    # One that the others have not been told of yet is the later of the two.
                    if device.name == name and device.echoed:
                        device.end(Closing.REPLACED)
                self._forget_ended()
                self._catch_up(head)
            case Introduce():
                for device in devices:
                    self._introduce(device)
            case HereElsewhere():
                self._compare(message)

    def _introduce(self, device: ConnectedDevice) -> None:
        connection = device.outlet.connection
        self._company.neighbours.device_here(self._user, device.name, connection, device.since)

    def _compare(self, other: HereElsewhere) -> None:
        """Of two connections of a device the older one ends; the younger one says so."""
        node = self._company.settings.node
        for device in [each for each in self._devices.values() if each.name == other.device]:
            if is_older(node, device.outlet.connection, device.since, other):
                device.end(Closing.REPLACED)
            else:
                self._introduce(device)
        self._forget_ended()
