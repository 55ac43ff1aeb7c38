"""Writes that one sender sends ahead, without waiting for an answer before the next.

They are requests of their own, and may go in several transactions. If the first of these is lost
and the second is committed, then what the sender sends again stands behind what came after it. So a
write of a line is refused if a write before it was, and must not be overtaken. It makes no
difference where the writes are meanwhile: in the backlog, in the mailbox, or not yet sent.

A write that was lost, with its transaction, its actor or its store, keeps back all that come behind
it in its line. One that a foreign lock holds up concerns a few users, who may be blocked for long;
it keeps back those behind it that the same producer sends to the same users, and the changes of its
notification. One that is poison is no matter of time and keeps back nothing.
"""

from __future__ import annotations

from typing import TypeVar

import outcome

from tocsin.actors.runtime.ref import Reply
from tocsin.persistence.store import StoreBlocked, StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Publish, Update, Withdraw

T = TypeVar("T")
_Tie = tuple[str, ...]


class Line:
    """The writes of one sender in *lane*, until the first of them is refused; see the module."""

    __slots__ = ("_held", "_is_cut", "lane")

    def __init__(self, lane: str) -> None:
        self.lane = lane
        self._is_cut = False
        self._held: set[_Tie] = set()

    def reply(self, command: Command[T]) -> Reply[T]:
        """The reply for the write of *command*, by which the line hears that it was refused."""
        return _Reply(self, command)

    def admits(self, command: Command[object]) -> bool:
        """Whether *command* overtakes none of its line that was refused."""
        return not self._is_cut and self._held.isdisjoint(_needs(command))

    def refusal(self) -> StoreUnavailable:
        """The error for a command that is not admitted, which keeps back others in its turn."""
        if self._is_cut:
            return StoreUnavailable("a write before it in its line was lost")
        return StoreBlocked("a write before it in its line is blocked")

    def refused(self, command: Command[object], error: BaseException) -> None:
        """Keep back what must not overtake *command*, which was refused with *error*."""
        if isinstance(error, StoreBlocked):
            self._held.update(_holds(command))
        elif not isinstance(error, StoreFailed):
            self._is_cut = True


class _Reply(Reply[T]):
    """An answer to the write of *command*. The *line* hears at once of a failure, of any cause."""

    __slots__ = ("_command", "_line")

    def __init__(self, line: Line, command: Command[T]) -> None:
        super().__init__()
        self._line = line
        self._command = command

    def _settle(self, result: outcome.Outcome[T]) -> None:
        if isinstance(result, outcome.Error):
            self._line.refused(self._command, result.error)
        super()._settle(result)


def _holds(command: Command[object]) -> set[_Tie]:
    """The ties that *command* has, as the earlier one of two commands."""
    match command:
        case Publish(credential=producer, users=users, content=content):
            # A topic has any number of users, whom nobody knows here.
            recipients = users or ("",)
            return {
                ("by", producer),
                ("about", content.id),
                *(("to", producer, user) for user in recipients),
            }
        case Update(notification=notification) | Withdraw(notification=notification):
            return {("about", notification)}
        case _:
            return set()


def _needs(command: Command[object]) -> set[_Tie]:
    """The ties of an earlier command that *command* must not overtake."""
    match command:
        case Publish(credential=producer, users=users) if users:
            return {("to", producer, ""), *(("to", producer, user) for user in users)}
        case Publish(credential=producer):
            return {("by", producer)}
        case _:
            return _holds(command)
