"""Whose commands somebody else's lock holds up, and how they are kept from holding up the others.

A transaction that meets a lock waits for it, and with it everybody whose command it carries. So
when one was found to be blocked, by halves as poison is, the *parties* of its command are suspects:
users, or what else it changes. Commands about suspects go in transactions of their own, which have
little patience, behind all others. Where the command was about one party alone, that is the one,
and for a moment its commands are refused without being tried. Who succeeds is a suspect no longer.

There is no clock and no task in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from tocsin.actors.storage.backlog import Waiting, lane_of
from tocsin.persistence.store import (
    Acknowledge,
    Attach,
    Command,
    MarkInbox,
    Materialise,
    Publish,
    Record,
    RemoveDevice,
    SetPreferences,
    Subscribe,
    Unsubscribe,
)

PAUSE: Final = 1.0
"""Seconds in which a party that is known to be blocked is not tried again."""
LINES_PAUSE: Final = 5.0
"""Seconds before lines of the ledger that were blocked are tried again; nobody waits for them."""
_SUSPECTS_MAX: Final = 10_000
"""Users and devices remembered. When there are more, all are forgotten: they are soon found
again."""

W = TypeVar("W", bound=Waiting)


class Blockades(Generic[W]):
    """See the module."""

    def __init__(self) -> None:
        self._suspects: dict[str, float] = {}
        """Until when each is not tried again."""

    def __len__(self) -> int:
        return len(self._suspects)

    def parts(self, batch: list[W]) -> list[list[W]]:
        """*batch* in parts, a transaction each; the first is of those without suspects.

        What stands in a lane by name keeps its order all the same.
        """
        if not self._suspects:
            return [batch]
        first: list[W] = []
        parts = [first]
        behind: set[str] = set()
        mixes = False
        for each in batch:
            if self._is_suspect(each.command):
                parts.append([each])
                mixes = False
                if each.lane is not None:
                    behind.add(each.lane)
            elif each.lane in behind:
                if not mixes:
                    parts.append([])
                parts[-1].append(each)
                mixes = True
            else:
                first.append(each)
        return parts

    def is_shut(self, part: Sequence[W], now: float) -> bool:
        """Whether *part* is a command that would only be blocked again."""
        if not self._suspects or len(part) != 1:
            return False
        return any(self._suspects.get(each, 0.0) > now for each in parties(part[0].command))

    def blocked(self, command: Command[Any], now: float) -> None:
        """*command* was found to be blocked."""
        if len(self._suspects) > _SUSPECTS_MAX:
            self._suspects.clear()
        found = parties(command)
        for each in found:
            self._suspects[each] = now + PAUSE if len(found) == 1 else self._suspects.get(each, 0.0)

    def passed(self, part: Sequence[W]) -> None:
        """*part* was committed: who is in it is not blocked."""
        if self._suspects:
            for each in part:
                for party in parties(each.command):
                    self._suspects.pop(party, None)

    def _is_suspect(self, command: Command[Any]) -> bool:
        return not self._suspects.keys().isdisjoint(parties(command))


def parties(command: Command[Any]) -> tuple[str, ...]:
    """Whose rows *command* changes, as far as it says; users, or else what its lane is about."""
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
    """Lines of the ledger that somebody else's lock holds up. Times are Trio's."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._until = -math.inf

    def __len__(self) -> int:
        return len(self._records)

    def keep(self, records: Sequence[Record], now: float) -> None:
        """Keep *records*, and all that is here, for a while from *now*."""
        if records:
            self._records += records
            self._until = now + LINES_PAUSE

    def take(self, now: float, *, at_once: bool) -> list[Record]:
        """What is to be tried again at *now*; everything, if that is to be *at_once*."""
        if not at_once and now < self._until:
            return []
        taken, self._records = self._records, []
        return taken
