"""The weight of a command in a transaction: the number of rows that it writes, about.

A publish names its users, each of whom is a row or two. A change or a withdrawal names none, so the
weights remember how many recipients each notification of late has; any other notification is taken
to have as many as a publish may name. A publish to a topic is one entry of the topic's log, however
many subscribers there are. Where only the store can know the number (what a user's topics hold, how
much is to be marked), the scripts share a bound among the commands of a transaction, and a command
weighs its share of that.
"""

from __future__ import annotations

from typing import Any, Final

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Changed, Publish, Update, Withdraw
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Purge, Release
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    Attach,
    MarkInbox,
    Materialise,
    RemoveDevice,
    SetPreferences,
    Subscribe,
    Unsubscribe,
)

ROWS_MAX: Final = 1000
"""Rows of one ordinary transaction, about: those of a post to as many users as it may name."""
UNKNOWN: Final = 1000
"""Recipients that a notification is taken to have if it is not remembered."""
_LOOK: Final = 5
"""Rows from a look at a user's topics, even if many look at once (`ScriptLimits`)."""
_SOME: Final = 30
"""Rows of a command that names no number, such as marking all: its share of the bound."""
REMEMBERED_MAX: Final = 50_000
"""Notifications that are remembered, in a few megabytes."""


class Weights:
    """The weights of commands, and the recipients remembered for them; see the module.

    *unknown* is the number of recipients of a notification that is not among the last
    *remembered_max*.
    """

    def __init__(self, *, unknown: int = UNKNOWN, remembered_max: int = REMEMBERED_MAX) -> None:
        self._unknown = unknown
        self._remembered_max = remembered_max
        self._recipients: dict[str, int] = {}

    def rows(self, command: Command[Any]) -> int:
        """The number of rows that *command* writes, about; one at least."""
        match command:
            case Publish():
                return len(command.users) or 1
            case Update() | Withdraw():
                return self._recipients.get(command.notification, self._unknown)
            case Subscribe() | Unsubscribe() | Materialise():
                return _LOOK * len(command.users)
            case MarkInbox(ids=ids) | Acknowledge(ids=ids):
                return _LOOK + (len(ids) if ids else _SOME)
            case SetPreferences():
                return _LOOK + len(command.categories) + len(command.topics)
            case Attach():
                return _LOOK
            case RemoveDevice():
                return _SOME
            case Expire() | Release() | Purge():
                return ROWS_MAX
            case _:
                return 1

    def learn(self, result: Result) -> None:
        """Remember how many recipients a notification has, if *result* says it."""
        if isinstance(result, Changed):
            content = result.content
            self._recipients.pop(content.id, None)
            rows = 1 if content.topic is not None else max(1, result.recipients)
            self._recipients[content.id] = rows
            if len(self._recipients) > self._remembered_max:
                del self._recipients[next(iter(self._recipients))]
