"""The directory of online users: a user actor exists from the first device to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.messages import (
    Arrived,
    BusChanged,
    Disconnect,
    HeadMoved,
    Left,
    LogChanged,
    SharedChange,
    StoreChanged,
    UserMessage,
    UserRecounted,
)
from tocsin.actors.directory import Directory
from tocsin.actors.runtime import ActorStopped, MailboxFull, PromptActor
from tocsin.protocol.closing import Closing
from tocsin.protocol.news import Position, RecipientState, SharedPart
from tocsin.protocol.notification import Change, State, client_view


class Users(Directory[UserMessage]):
    """See the module; *attendance* is told who is connected.

    It also knows how far each user's log was said to reach, and which users have missed something.
    """

    def __init__(self, attendance: Attendance, *, capacity: int) -> None:
        super().__init__(capacity=capacity)
        self._attendance = attendance
        self._make: Callable[[str], PromptActor[UserMessage]] | None = None
        self._heads: dict[str, int] = {}
        """For each user who has attached, the highest sequence that this node was told of."""
        self._missed: dict[str, int] = {}
        """For each user whose mailbox had no room for a change, its sequence."""

    @contextmanager
    def made_by(self, make: Callable[[str], PromptActor[UserMessage]]) -> Iterator[None]:
        """For the keeper: until the end of the block, *make* makes the actor of a user."""
        self._make = make
        try:
            yield
        finally:
            self._make = None

    def arrive(self, user: str, arrived: Arrived) -> None:
        """Hand a device to its user's actor, starting that if need be.

        Raises `MailboxFull` or `ActorStopped`.
        """
        ref = self.find(user)
        if ref is None:
            if self._make is None:
                raise ActorStopped
            ref = self._spawn_prompt(user, partial(self._make, user))
        ref.tell(arrived)
        self._attendance.arrived(user, arrived.device, arrived.outlet.connection)

    def leave(self, user: str, connection: str) -> None:
        """Tell *user* that a connection has ended, whoever was on it."""
        # Beyond the capacity: an actor that never hears of it keeps the device for ever.
        self.tell(user, Left(connection), forced=True)
        self._attendance.left(user, connection)

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
                self._miss(position.user, position.sequence)
            except ActorStopped:
                told -= 1
        return told

    def head_moved(self, user: str, head: int) -> None:
        """Tell *user*, if online, that the log has reached *head*, without what is new there."""
        try:
            self.tell(user, HeadMoved(head))
        except MailboxFull:
            self._miss(user, head)

    def recounted(self, user: str) -> None:
        """Tell *user*, if online, that something has expired."""
        try:
            self.tell(user, UserRecounted())
        except MailboxFull:
            self._miss(user, 0)

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

    # --- For the users' actors -------------------------------------------------------------------

    def retire(self, user: str) -> None:
        """Let an idle user actor end, unless a message for it has just come."""
        self._retire(user)

    def ended(self, user: str) -> None:
        """The actor of *user* has ended: the next one reads the store."""
        self._heads.pop(user, None)
        self._missed.pop(user, None)

    def reached(self, user: str, head: int) -> None:
        """The log of *user* was said to reach *head*."""
        self._heads[user] = head

    def take_missed(self, user: str) -> int | None:
        """The highest sequence that *user* has missed, if any; asked once, it is forgotten."""
        return self._missed.pop(user, None) if self._missed else None

    # --- What they are told, and what they have missed -------------------------------------------

    def head_of(self, user: str) -> int | None:
        """How far the log of *user* was said to reach, if the user has attached here."""
        return self._heads.get(user)

    def kept(self) -> dict[str, dict[str, int]]:
        """Copies of what is kept of users, by what that is."""
        return {"heads": dict(self._heads), "missed changes": dict(self._missed)}

    def _miss(self, user: str, head: int) -> None:
        # Heads do not come in order: a batch is announced in the order of its commands.
        self._missed[user] = max(head, self._missed.get(user, 0))


def shared_change(part: SharedPart) -> SharedChange:
    """A change, with what most of its recipients see of it made once."""
    state = State.WITHDRAWN if part.change == Change.WITHDRAWN else State.UNSEEN
    view = client_view(part.document, state, None, None)
    return SharedChange(part.notification, part.change, part.document, view, part.expires_at)
