"""How much is in one transaction: the rows that each command is, about.

A publish names its users, each of whom is a row or two. A change or a withdrawal does not, so of
notifications that were stored or changed of late it is remembered how many have them; of others it
is taken to be as many as a publish may name. What goes through a topic is one entry of the topic's
log, whoever is in it. Where only the store can know (what a user's topics hold, how much is to be
marked), the scripts share a bound among the commands of a transaction, and a command weighs its
part of that.
"""

from __future__ import annotations

from typing import Any, Final

from tocsin.persistence.store import (
    Acknowledge,
    Attach,
    Changed,
    Command,
    Expire,
    MarkInbox,
    Materialise,
    Publish,
    Purge,
    Release,
    RemoveDevice,
    Result,
    SetPreferences,
    Subscribe,
    Unsubscribe,
    Update,
    Withdraw,
)

ROWS_MAX: Final = 1000
"""Rows of one ordinary transaction, about: those of a post to as many users as it may name."""
_UNKNOWN: Final = 1000
"""Recipients of a notification of which nothing is remembered."""
_LOOK: Final = 5
"""What looking at a user's topics may bring, however many others look (`ENTRIES_OF_USER_MIN`)."""
_SOME: Final = 30
"""What a command does that names no number, such as marking all: as much as its share."""
_REMEMBERED: Final = 50_000
"""Notifications; a few megabytes."""


class Weights:
    """See the module."""

    def __init__(self) -> None:
        self._recipients: dict[str, int] = {}

    def rows(self, command: Command[Any]) -> int:
        """The rows that *command* is, about; one at least."""
        match command:
            case Publish():
                return len(command.users) or 1
            case Update() | Withdraw():
                return self._recipients.get(command.notification, _UNKNOWN)
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
        """Remember what *result* says of a notification."""
        if isinstance(result, Changed):
            content = result.content
            self._recipients.pop(content.id, None)
            rows = 1 if content.topic is not None else max(1, result.recipients)
            self._recipients[content.id] = rows
            if len(self._recipients) > _REMEMBERED:
                del self._recipients[next(iter(self._recipients))]
