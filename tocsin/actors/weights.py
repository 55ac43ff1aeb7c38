"""How much is in one transaction: the users whom its commands concern, each of whom is rows.

A publish names its users. A change or a withdrawal does not, so of notifications that were stored
or changed of late it is remembered how many have them; of others it is taken to be as many as a
publish may name. What goes through a topic is one entry of the topic's log, whoever is in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tocsin.persistence.store import (
    Changed,
    Command,
    Publish,
    Result,
    Subscribe,
    Unsubscribe,
    Update,
    Withdraw,
)

_RECIPIENTS_MAX: Final = 20_000
"""Users whom the commands of one transaction name, about: each is a row or two."""
_UNKNOWN: Final = 1000
"""Recipients of a notification of which nothing is remembered."""
_REMEMBERED: Final = 50_000
"""Notifications; a few megabytes."""


class Weights:
    """See the module."""

    def __init__(self) -> None:
        self._recipients: dict[str, int] = {}

    def fitting(self, commands: Iterable[Command]) -> int:
        """How many of *commands*, in their order, one transaction should take; one at least."""
        count = recipients = 0
        for command in commands:
            recipients += (weight := self._of(command))
            if weight and recipients > _RECIPIENTS_MAX and count:
                break
            count += 1
        return count

    def learn(self, result: Result) -> None:
        """Remember what *result* says of a notification."""
        if isinstance(result, Changed):
            content = result.content
            self._recipients.pop(content.id, None)
            self._recipients[content.id] = 1 if content.topic is not None else result.recipients
            if len(self._recipients) > _REMEMBERED:
                del self._recipients[next(iter(self._recipients))]

    def _of(self, command: Command) -> int:
        match command:
            case Publish() | Subscribe() | Unsubscribe():
                return len(command.users)
            case Update() | Withdraw():
                return self._recipients.get(command.notification, _UNKNOWN)
            case _:
                return 0
