"""The directory of online users: a user actor exists from the first device to the last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial

from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.messages import (
    Arrived,
    BusChanged,
    Disconnect,
    HeadMoved,
    Left,
    LogChanged,
    Recounted,
    SharedChange,
    StoreChanged,
    UserMessage,
)
from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.delivery.user import UserActor
from tocsin.actors.directory import Directory
from tocsin.actors.runtime import ActorStopped, MailboxFull
from tocsin.protocol.closing import Closing
from tocsin.protocol.news import Position, RecipientState, SharedPart
from tocsin.protocol.notification import Change, State, client_view


class Users(Directory[UserMessage]):
    """See the module. `company` is set by the node, which makes both; *attendance*, if anybody
    wants to know who is connected.
    """

    company: Company
    attendance: Attendance | None = None

    def arrive(self, user: str, arrived: Arrived) -> None:
        """Hand a device to its user's actor, starting that if need be.

        Raises `MailboxFull` or `ActorStopped`.
        """
        ref = self.find(user)
        if ref is None:
            ref = self._spawn_prompt(user, partial(UserActor, user, self.company))
        ref.tell(arrived)
        if self.attendance is not None:
            self.attendance.arrived(user, arrived.device, arrived.outlet.connection)

    def leave(self, user: str, connection: str) -> None:
        """Tell *user* that a connection has ended, whoever was on it."""
        # Beyond the capacity: an actor that never hears of it keeps the device for ever.
        self.tell(user, Left(connection), forced=True)
        if self.attendance is not None:
            self.attendance.left(user, connection)

    def tell(self, user: str, message: UserMessage, *, forced: bool = False) -> None:
        """Tell *user*, if online; raises `MailboxFull`, unless *forced* for what must be told.

        That a connection has ended is: an actor that never hears of it keeps it for ever.
        """
        ref = self.find(user)
        if ref is None:
            return
        try:
            (ref.tell_beyond if forced else ref.tell)(message)
        except ActorStopped:
            return

    def fan_out(
        self,
        shared: SharedChange,
        positions: Iterable[Position],
        states: Mapping[str, RecipientState],
    ) -> int:
        """Tell every recipient of a change who is online; returns how many."""
        find = self.find
        told = 0
        for position in positions:
            ref = find(position.user)
            if ref is None:
                continue
            told += 1
            try:
                ref.tell(LogChanged(shared, position, states.get(position.user)))
            except MailboxFull:
                self._missed(position.user, position.sequence)
            except ActorStopped:
                told -= 1
        return told

    def head_moved(self, user: str, head: int) -> None:
        """Tell *user*, if online, that the log has reached *head*, without what is new there."""
        try:
            self.tell(user, HeadMoved(head))
        except MailboxFull:
            self._missed(user, head)

    def recounted(self, user: str) -> None:
        """Tell *user*, if online, that something has expired."""
        try:
            self.tell(user, Recounted())
        except MailboxFull:
            self._missed(user, 0)

    def store_changed(self, available: bool) -> None:
        """Tell everybody that the store was lost, or is back."""
        for user in self.names():
            # Only a hint: a user too busy to hear it will see for itself.
            with suppress(MailboxFull):
                self.tell(user, StoreChanged(available))

    def bus_changed(self, available: bool) -> None:
        """Tell everybody that this node does not hear the others, or hears them again."""
        for user in self.names():
            with suppress(MailboxFull):
                self.tell(user, BusChanged(available))

    def disconnect(self, user: str, closing: Closing) -> None:
        """End all connections of *user* on this node."""
        self.tell(user, Disconnect(closing))

    def retire(self, user: str) -> None:
        """Let an idle user actor end, unless a message for it has just come."""
        self._retire(user)

    def _missed(self, user: str, head: int) -> None:
        # Heads do not come in order: a batch is announced in the order of its commands.
        missed = self.company.missed
        missed[user] = max(head, missed.get(user, 0))


def shared_change(part: SharedPart) -> SharedChange:
    """A change, with what most of its recipients see of it made once."""
    state = State.WITHDRAWN if part.change == Change.WITHDRAWN else State.UNSEEN
    view = client_view(part.document, state, None, None)
    return SharedChange(part.notification, part.change, part.document, view, part.expires_at)
