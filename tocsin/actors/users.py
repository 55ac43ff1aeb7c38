"""The directory of online users: a user actor exists from the first device to the last."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from tocsin.actors.company import Company
from tocsin.actors.directory import Directory
from tocsin.actors.runtime import ActorStopped, MailboxFull
from tocsin.actors.user import UserActor
from tocsin.actors.user_messages import (
    Arrived,
    Disconnect,
    HeadMoved,
    LogChanged,
    SharedChange,
    StoreChanged,
    UserMessage,
)
from tocsin.persistence.store import FanOut
from tocsin.protocol.closing import Closing
from tocsin.protocol.notification import Change, State, client_view


class Users(Directory[UserMessage]):
    """See the module. `company` is set by the node, which makes both."""

    company: Company

    def arrive(self, user: str, arrived: Arrived) -> None:
        """Hand a device to its user's actor, starting that if need be.

        Raises `MailboxFull` or `ActorStopped`.
        """
        ref = self.find(user)
        if ref is None:
            ref = self._spawn(user, partial(UserActor, user, self.company))
        ref.tell(arrived)

    def tell(self, user: str, message: UserMessage, *, forced: bool = False) -> None:
        """Tell *user*, if online; raises `MailboxFull`, unless *forced* for what must be told.

        That a connection has ended is: an actor that never hears of it keeps it for ever.
        """
        ref = self.find(user)
        if ref is not None:
            with suppress(ActorStopped):
                (ref.tell_beyond if forced else ref.tell)(message)

    def fan_out(self, fan_out: FanOut) -> int:
        """Tell every recipient of a change who is online; returns how many."""
        content, change = fan_out.content, fan_out.change
        state = State.WITHDRAWN if change is Change.WITHDRAWN else State.UNSEEN
        view = client_view(content.document, state, None, None)
        shared = SharedChange(content.id, change, content.document, view, content.expires_at)
        find, states = self.find, fan_out.states
        told = 0
        for position in fan_out.positions:
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

    def store_changed(self, available: bool) -> None:
        """Tell everybody that the store was lost, or is back."""
        for user in self.names():
            # Only a hint: a user too busy to hear it will see for itself.
            with suppress(MailboxFull):
                self.tell(user, StoreChanged(available))

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
