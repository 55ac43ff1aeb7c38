"""One online user: the user's connected devices, and the timers of their unacknowledged pushes.

The actor never waits for anything but its mailbox. The store's answers come back as messages, an
outlet takes each push at once, and all timers are one deadline. So one device, however slow, delays
no other, not even of the same user.

The deadline may be early, but never late. An exact deadline would cost a look at every device after
every message; an early one costs a single look too many.
"""

from __future__ import annotations

import math
from typing import Final, assert_never

import outcome

from tocsin.actors.delivery.clock import Clock
from tocsin.actors.delivery.device import ConnectedDevice
from tocsin.actors.delivery.messages import (
    Arrived,
    ArrivedElsewhere,
    AttachDone,
    ConnectionMessage,
    DeviceAnswered,
    DeviceMessage,
    ForAll,
    ForConnection,
    ForDevice,
    HeadMoved,
    Left,
    Listening,
    LogChanged,
    MessageForAll,
    Settle,
    UserMessage,
    UserRecounted,
)
from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.runtime.prompt import PromptActor
from tocsin.actors.runtime.ref import Ref
from tocsin.persistence.store.user_commands import Attached
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.presence import RETRY_DELAY
from tocsin.protocol.log.push import LogEntry
from tocsin.protocol.notifications.notification import client_view

_ENDED: Final = Phase.ENDED
"""Looked up once: in Python 3.11, looking up a member of an enum costs as much as a call."""


class UserActor(PromptActor[UserMessage]):
    """The actor of one user, passivated when the last device has left; see the module."""

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

    def __init__(self, user: str, company: Company, clock: Clock) -> None:
        self._user = user
        self._company = company
        self._clock = clock
        self._devices: dict[str, ConnectedDevice] = {}
        self._head = 0
        self._listening = False
        self._deadline = math.inf
        self._ref: Ref[UserMessage]

    def begin(self, ref: Ref[UserMessage]) -> None:
        """Have the store's answers to the devices sent to *ref*."""
        self._ref = ref

    def ended(self, *, failed: bool) -> None:
        """Take the user off the tables, and end the connections of devices that are still here."""
        self._company.absent(self._user)
        self._company.users.ended(self._user)
        self._company.neighbours.leave(self._user)
        for device in self._devices.values():
            self._company.users.resting.discard((self._user, device.name))
            if device.rests and not failed:
                # The ledger outlives the users' actors, and no connection tells of this end.
                device.receive(Left(device.outlet.connection), self._head)
            device.fail()

    def dropped(self, message: UserMessage) -> None:
        """Answer a *message* that will not be handled, because the actor has ended.

        A device that has just arrived would otherwise wait for its welcome for ever.
        """
        if isinstance(message, Arrived) and message.outlet.connection not in self._devices:
            message.outlet.end(Closing.INTERNAL_ERROR, RETRY_DELAY)
        elif isinstance(message, Settle):
            message.reply.set(None)

    def receive(self, message: UserMessage) -> None:
        """Handle one message."""
        self._clock.tick()
        match message:
            # These two first: nearly all messages are of these types, and a match of the exact type
            # is the quickest.
            case LogChanged():
                self._log_changed(message)
            case DeviceAnswered() | ForConnection():
                self._tell_one(message)
            case ForDevice():
                self._tell_named(message)
            case ForAll():
                self._tell_all(message)
            case Arrived():
                self._arrived(message)
            case Settle():
                message.reply.set(None)
            case _:
                assert_never(message)
        if self._company.users.missed:
            self._catch_up()
        if not self._devices:
            self._company.users.retire(self._user)

    def next_deadline(self) -> float:
        """A time (Trio's) that is no later than the first of all devices' deadlines."""
        return self._deadline

    def on_deadline(self, now: float) -> None:
        """Let every device do what is due, and find the next deadline."""
        self._clock.tick()
        self._deadline = math.inf
        for device in list(self._devices.values()):
            device.check()
            self._after(device)
        if not self._devices:
            self._company.users.retire(self._user)

    # --- Inside ----------------------------------------------------------------------------------

    def _arrived(self, arrived: Arrived) -> None:
        for device in self._named(arrived.device):
            if device.can_return(arrived):
                del self._devices[device.outlet.connection]
                self._devices[arrived.outlet.connection] = device
                device.take_back(arrived)
                self._after(device)
                return
            device.replace()
            self._after(device)
        if len(self._devices) >= self._company.settings.devices_max:
            self._end_a_rest()
        if len(self._devices) >= self._company.settings.devices_max:
            detail = f"A user has at most {self._company.settings.devices_max} sessions at a time."
            arrived.outlet.end(Closing.OVERLOADED, RETRY_DELAY, detail)
            return
        device = ConnectedDevice(self._user, arrived, self._ref, self._company, self._clock)
        self._devices[arrived.outlet.connection] = device
        # Before the store is read, so that this node hears of all that other nodes commit after
        # that read.
        self._listening = self._listening or self._company.neighbours.listen(self._user, self._ref)
        if self._listening:
            device.receive_common(Listening())
        self._after(device)

    def _end_a_rest(self) -> None:
        """End a session that rests, if there is one: it takes the place of another."""
        for connection, device in self._devices.items():
            if device.rests:
                self._tell_one(Left(connection))
                return

    def _tell_one(self, message: ConnectionMessage) -> None:
        if type(message) is AttachDone:
            self._learn_of_arrival(message)
        device = self._devices.get(message.connection)
        if device is not None:
            device.receive(message, self._head)
            self._after(device)

    def _tell_named(self, message: DeviceMessage) -> None:
        for device in self._named(message.device):
            device.receive_named(message)
            self._after(device)
        if isinstance(message, ArrivedElsewhere):
            self._tell_all(HeadMoved(message.head))

    def _tell_all(self, message: MessageForAll) -> None:
        if isinstance(message, HeadMoved):
            self._reach(message.head)
        elif isinstance(message, Listening):
            self._listening = True
        for device in list(self._devices.values()):
            device.receive_common(message)
            self._after(device)

    def _named(self, name: str) -> list[ConnectedDevice]:
        return [each for each in self._devices.values() if each.name == name]

    def _learn_of_arrival(self, done: AttachDone) -> None:
        """Tell the user's other devices of the head and counters that the store has given to one.

        When a device attaches, the store brings the user up to date, which is news for all devices
        of the user, even if the one that attached has gone or has to attach again. The counters may
        also show that a notification has expired.
        """
        attached = done.outcome.value if isinstance(done.outcome, outcome.Value) else None
        if not isinstance(attached, Attached):
            return
        if attached.behind:
            self._company.behind(self._user)
        known = self._head
        self._reach(attached.head)
        if attached.head > known:
            self._tell_all(HeadMoved(attached.head))
        for connection, device in list(self._devices.items()):
            if connection != done.connection:
                device.compare(attached.counters)
                self._after(device)

    def _catch_up(self) -> None:
        """Read what the mailbox had no room for, if anything."""
        if (missed := self._company.users.take_missed(self._user)) is not None:
            self._tell_all(HeadMoved(missed))
            self._tell_all(UserRecounted())

    def _log_changed(self, message: LogChanged) -> None:
        position, shared, state = message.position, message.shared, message.state
        sequence = position.sequence
        if sequence > self._head:
            self._reach(sequence)
        entry = LogEntry(
            sequence,
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

    def _reach(self, head: int) -> None:
        self._head = max(self._head, head)
        self._company.users.reached(self._user, self._head)

    def _after(self, device: ConnectedDevice) -> None:
        """Forget *device* if its session has ended, or note its deadline if that is earlier.

        To be called after every input to the device.
        """
        if device.delivery.phase is _ENDED:
            self._devices.pop(device.outlet.connection, None)
            self._company.users.resting.discard((self._user, device.name))
        else:
            deadline = device.next_deadline()
            if deadline < self._deadline:
                self._deadline = deadline
