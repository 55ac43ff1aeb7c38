"""The directory of online users: a user's actor lives from the first device to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.messages import (
    Arrived,
    BusChanged,
    CountersFound,
    Disconnect,
    HeadMoved,
    Left,
    LogChanged,
    Rested,
    SharedChange,
    StoreChanged,
    UserMessage,
    UserRecounted,
)
from tocsin.actors.directory import Directory
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.actors.runtime.prompt import PromptActor
from tocsin.persistence.store.commands import Counters
from tocsin.protocol.closing import Closing
from tocsin.protocol.log.news import Position, RecipientState, SharedPart
from tocsin.protocol.notifications.notification import Change, State, client_view


class Users(Directory[UserMessage]):
    """The directory of users' actors; *attendance* is told which devices are connected.

    The directory also knows the head that this node was told of each user's log, and which users
    have missed a change.
    """

    def __init__(self, attendance: Attendance, *, capacity: int) -> None:
        super().__init__(capacity=capacity)
        self._attendance = attendance
        self._make: Callable[[str], PromptActor[UserMessage]] | None = None
        self._heads: dict[str, int] = {}
        """For each user who has attached, the highest sequence that this node was told of."""
        self.missed: dict[str, int] = {}
        """For each user whose mailbox had no room for a change, its sequence."""
        self.resting: set[tuple[str, str]] = set()
        """Users and devices that are between two polls, and whose session waits for the next."""

    @contextmanager
    def made_by(self, make: Callable[[str], PromptActor[UserMessage]]) -> Iterator[None]:
        """Have *make* make the actor of each user, until the end of the block.

        Only the keeper calls it.
        """
        self._make = make
        try:
            yield
        finally:
            self._make = None

    def arrive(self, user: str, arrived: Arrived) -> None:
        """Hand a device to its user's actor, which is started if need be.

        Raises `MailboxFull` if the actor has too much to do, `ActorStopped` if the node stops.
        """
        ref = self.find(user)
        if ref is None:
            if self._make is None:
                raise ActorStopped
            ref = self._spawn_prompt(user, partial(self._make, user))
        ref.tell(arrived)
        self._attendance.arrived(user, arrived.device, arrived.outlet.connection)

    def leave(self, user: str, connection: str) -> None:
        """Tell the actor of *user* that *connection* has ended."""
        # Beyond the capacity: an actor that never hears of the end keeps the device for ever.
        self.tell(user, Left(connection), forced=True)
        self._attendance.left(user, connection)

    def rest(self, user: str, connection: str) -> None:
        """As `leave`, for a *connection* on which a poll was answered: its device may come back.

        Until then the device is not counted as connected.
        """
        self.tell(user, Rested(connection), forced=True)
        self._attendance.left(user, connection)

    def tell(self, user: str, message: UserMessage, *, forced: bool = False) -> None:
        """Tell the actor of *user*, if there is one.

        Raises `MailboxFull`, unless the message is *forced* beyond the mailbox's capacity. The end
        of a connection has to be forced: an actor that never hears of it keeps the device for ever.
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
        """Tell every recipient who is online of a change; returns how many were told."""
        find, state_of = self.find, states.get
        told = 0
        for position in positions:
            ref = find(position.user)
            if ref is None:
                continue
            told += 1
            try:
                ref.tell(LogChanged(shared, position, state_of(position.user)))
            except MailboxFull:
                self._miss(position.user, position.sequence)
            except ActorStopped:
                told -= 1
        return told

    def head_moved(self, user: str, head: int) -> None:
        """Tell *user*, if online, that the log has reached *head*; the entries are not told."""
        try:
            self.tell(user, HeadMoved(head))
        except MailboxFull:
            self._miss(user, head)

    def recounted(self, user: str) -> None:
        """Tell *user*, if online, that a notification has expired and changed the counters."""
        try:
            self.tell(user, UserRecounted())
        except MailboxFull:
            self._miss(user, 0)

    def recount(self) -> None:
        """Have all online users read what the store may have committed unannounced."""
        for user in self.names():
            self.recounted(user)

    def compare(self, user: str, counters: Counters) -> bool:
        """Tell *user*, if online, the counters that the store has, in case others were told.

        Returns whether there was room for that; if not, a later comparison has to find it.
        """
        try:
            self.tell(user, CountersFound(counters))
        except MailboxFull:
            return False
        return True

    def store_changed(self, available: bool) -> None:
        """Tell all online users that the store was lost, or is back."""
        for user in self.names():
            # Only a hint: an actor whose mailbox is full will find out by itself.
            with suppress(MailboxFull):
                self.tell(user, StoreChanged(available))

    def bus_changed(self, available: bool) -> None:
        """Tell all online users that this node does not hear the others, or hears them again."""
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
        """Forget the head and the missed changes of *user*, whose actor has ended.

        The next actor of the user reads the store.
        """
        self._heads.pop(user, None)
        self.missed.pop(user, None)

    def reached(self, user: str, head: int) -> None:
        """Note that this node was told that the log of *user* has reached *head*."""
        self._heads[user] = head

    def take_missed(self, user: str) -> int | None:
        """The highest sequence that *user* has missed, if any; it is then forgotten."""
        return self.missed.pop(user, None)

    # --- Heads and missed changes ----------------------------------------------------------------

    def head_of(self, user: str) -> int | None:
        """The head that this node was told of the log of *user*, if the user has attached here."""
        return self._heads.get(user)

    def kept(self) -> dict[str, dict[str, int]]:
        """Copies of the tables of this directory by name, each user -> sequence."""
        return {"heads": dict(self._heads), "missed changes": dict(self.missed)}

    def _miss(self, user: str, head: int) -> None:
        # Heads do not come in order: a batch is announced in the order of its commands.
        self.missed[user] = max(head, self.missed.get(user, 0))


def shared_change(part: SharedPart) -> SharedChange:
    """A change with the view of most of its recipients, which is made once for all of them."""
    state = State.WITHDRAWN if part.change == Change.WITHDRAWN else State.UNSEEN
    view = client_view(part.document, state, None, None)
    return SharedChange(part.notification, part.change, part.document, view, part.expires_at)
