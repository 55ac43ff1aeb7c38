"""Commands that a foreign lock holds up, and how they are kept from holding up the others.

A transaction that meets a lock waits for it, and with it all commands that it carries. So when a
command was found to be blocked, by halves as poison is, its *parties* become suspects: the users,
or whatever else it changes. Commands about suspects go in transactions of their own, which have
little patience, behind all others. If the command was about a single party, that party is the
blocked one, and for a moment its commands are refused without being tried. A party whose command
succeeds is a suspect no longer.

The blockades have no clock and no task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from tocsin.actors.storage.backlog import Waiting, lane_of
from tocsin.actors.storage.lines import Line
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Publish
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    Attach,
    MarkInbox,
    Materialise,
    Record,
    RemoveDevice,
    SetPreferences,
    Subscribe,
    Unsubscribe,
)

PAUSE: Final = 1.0
"""Seconds in which the commands of a blocked party are not tried again."""
LINES_PAUSE: Final = 5.0
"""Seconds before blocked lines of the ledger are tried again, for which no request waits."""
_SUSPECTS_MAX: Final = 10_000
"""Users and devices remembered. When there are more, all are forgotten: they are soon found
again."""

W = TypeVar("W", bound=Waiting)


class Blockades(Generic[W]):
    """The suspects, and how their commands are kept apart; see the module. Times are Trio's."""

    def __init__(self) -> None:
        self._suspects: dict[str, float] = {}
        """Suspect -> the time until which its commands are not tried again."""

    def __len__(self) -> int:
        return len(self._suspects)

    def parts(self, batch: list[W]) -> list[list[W]]:
        """*batch* in parts, a transaction each; the first part has the commands without suspects.

        Commands of a line keep their order all the same.
        """
        if not self._suspects:
            return [batch]
        first: list[W] = []
        parts = [first]
        behind: set[Line] = set()
        mixes = False
        for each in batch:
            if self._is_suspect(each.command):
                parts.append([each])
                mixes = False
                if each.line is not None:
                    behind.add(each.line)
            elif each.line in behind:
                if not mixes:
                    parts.append([])
                parts[-1].append(each)
                mixes = True
            else:
                first.append(each)
        return parts

    def is_shut(self, part: Sequence[W], now: float) -> bool:
        """Whether *part* is a single command that would only be blocked again at *now*."""
        if not self._suspects or len(part) != 1:
            return False
        return any(self._suspects.get(each, 0.0) > now for each in parties(part[0].command))

    def blocked(self, command: Command[Any], now: float) -> None:
        """Suspect the parties of *command*, which was found to be blocked at *now*."""
        if len(self._suspects) > _SUSPECTS_MAX:
            self._suspects.clear()
        found = parties(command)
        for each in found:
            self._suspects[each] = now + PAUSE if len(found) == 1 else self._suspects.get(each, 0.0)

    def passed(self, part: Sequence[W]) -> None:
        """Suspect the parties in *part* no longer: it was committed."""
        if self._suspects:
            for each in part:
                for party in parties(each.command):
                    self._suspects.pop(party, None)

    def _is_suspect(self, command: Command[Any]) -> bool:
        return not self._suspects.keys().isdisjoint(parties(command))


def parties(command: Command[Any]) -> tuple[str, ...]:
    """The users whose rows *command* changes, as far as it names them, or else its lane."""
    match command:
        case Publish(users=users) if users:
            return users
        case Publish(content=content):
            return (f"to {content.topic}",)
        case Subscribe(users=users) | Unsubscribe(users=users) | Materialise(users=users):
            return tuple(users)
        case Attach() | Acknowledge() | MarkInbox() | SetPreferences() | RemoveDevice():
            return (command.user,)
        case _:
            return (lane,) if (lane := lane_of(command)) else ()


class StuckLines:
    """Lines of the ledger that a foreign lock holds up. Times are Trio's."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._until = -math.inf

    def __len__(self) -> int:
        return len(self._records)

    def keep(self, records: Sequence[Record], now: float) -> None:
        """Keep *records*, and all that are here, for a while from *now*."""
        if records:
            self._records += records
            self._until = now + LINES_PAUSE

    def take(self, now: float, *, at_once: bool) -> list[Record]:
        """Remove the lines to be tried again at *now*, or all lines if *at_once*."""
        if not at_once and now < self._until:
            return []
        taken, self._records = self._records, []
        return taken
