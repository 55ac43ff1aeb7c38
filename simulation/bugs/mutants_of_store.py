"""Seeded bugs in the store and the spool, and in when they are called: see `mutants`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from msgspec import structs

from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.publishing import scheduler
from tocsin.actors.spool.drain import Drain
from tocsin.persistence.bus.memory_spool import MemorySpool
from tocsin.persistence.scripts.logs import admission
from tocsin.persistence.scripts.statements import drive
from tocsin.persistence.scripts.user_logs import UserLog
from tocsin.persistence.scripts.write import write
from tocsin.persistence.sqlite.store import SqliteStore

_ROLLED_BACK: Final = 40
"""One commit in this many is rolled back and answered all the same."""
_EARLY: Final = 5000
"""Milliseconds by which scheduled notifications are released too early."""


def _answer_what_is_rolled_back(_: Original) -> Original:
    def write_or_not(self: SqliteStore, commands: Sequence[Any]) -> Any:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        results = drive(
            write(commands, self.epoch, self._limits), partial(self._perform, connection)
        )
        is_lost = self.statements_run % _ROLLED_BACK == 0
        connection.execute("ROLLBACK" if is_lost else "COMMIT")
        return results

    return write_or_not


def _answer_what_is_not_spooled(append: Original) -> Original:
    async def forgetful(self: MemorySpool, drafts: Sequence[Any]) -> Any:
        appended = await append(self, drafts[1:])
        return structs.replace(appended, earlier=(None, *appended.earlier))

    return forgetful


def _done_before_it_is_stored(drain: Original) -> Original:
    async def hasty(self: Drain, entries: Sequence[Any]) -> bool:
        await self._spool.done(self._node, [entry.id for entry in entries])
        whole: bool = await drain(self, entries)
        return whole

    return hasty


def _ignore_keys(_: Original) -> Original:
    return lambda publish: None


def _count_unseen_wrongly(append: Original) -> Original:
    def miscounting(self: UserLog, now_ms: int, unread: int, unseen: int) -> int:
        sequence: int = append(self, now_ms, unread, 0)
        return sequence

    return miscounting


def _release_early(release: Original) -> Original:
    return lambda now_ms, most: release(now_ms + _EARLY, most)


_AWAY: Final = {"store_away": 6.0, "store_fails": 4.0}

OF_STORE: Final = (
    Mutation(
        name="answer a rolled back commit",
        owner=SqliteStore,
        attribute="_write",
        patch=_answer_what_is_rolled_back,
    ),
    Mutation(
        name="answer an unspooled post",
        owner=MemorySpool,
        attribute="append",
        patch=_answer_what_is_not_spooled,
        faults=_AWAY,
    ),
    Mutation(
        name="done before it is stored",
        owner=Drain,
        attribute="_drain",
        patch=_done_before_it_is_stored,
        faults=_AWAY,
        within=20,
    ),
    Mutation(
        name="ignore keys",
        owner=admission,
        attribute="_key",
        patch=_ignore_keys,
        # One node only: several have a spool, which recognises a post whose commit went unanswered.
        faults={"commit_lost": 60.0},
        plan={"nodes": 1, "keys": 1.0},
        within=20,
    ),
    Mutation(
        name="count unseen wrongly",
        owner=UserLog,
        attribute="append",
        patch=_count_unseen_wrongly,
    ),
    Mutation(
        name="release too early",
        owner=scheduler,
        attribute="Release",
        patch=_release_early,
        plan={"schedules": 0.5},
    ),
)
