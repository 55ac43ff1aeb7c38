"""Ids of transactions as Postgres gives them out: in the order of beginnings, not of commits.

The simulated store runs one transaction after the other. Seen from outside, a transaction that
waited before its commit differs from one that did not in its id only: that was given out earlier,
and transactions with later ids have been seen meanwhile. So now and then an id is given out for a
transaction to come; a later transaction gets it, or none does, as if it was rolled back.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from simulation.world.chance import Chance
from tocsin.persistence.store.footprints import FootprintPage

_OPENS: Final = 0.3
"""The probability that another transaction has begun before one commits."""
_ENDS: Final = 0.4
"""The probability that a commit is that of a transaction that began before others."""
_FAILS: Final = 0.1
"""The probability that one of those under way is rolled back before a look."""
_OPEN_MAX: Final = 3
"""Transactions that are open at once: enough for ids to end in another order than they began."""

_NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'footprints'"


class TransactionIds:
    """The ids of transactions under way; those of committed ones are in their footprints."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._open: list[int] = []
        self._newest = 0

    def give_out(self, connection: sqlite3.Connection) -> None:
        """Change the id of the footprint that was just committed, if there is one, by chance."""
        [newest] = connection.execute(_NEWEST).fetchone()
        if newest == self._newest:
            return
        if newest == self._newest + 1 and self._open and self._chance.happens(_ENDS):
            earlier = self._open.pop(self._chance.randrange(len(self._open)))
            connection.execute("UPDATE footprints SET xid = ? WHERE xid = ?", (earlier, newest))
        if len(self._open) < _OPEN_MAX and self._chance.happens(_OPENS):
            newest += 1
            self._open.append(newest)
            connection.execute(
                "UPDATE sqlite_sequence SET seq = ? WHERE name = 'footprints'", (newest,)
            )
        self._newest = newest

    def seen(self, answer: Any) -> Any:
        """*answer* as it is with transactions under way."""
        if not isinstance(answer, FootprintPage):
            return answer
        if self._open and self._chance.happens(_FAILS):
            self._open.pop(0)
        oldest = min(self._open, default=answer.oldest)
        return msgspec.structs.replace(answer, oldest=oldest)
