"""Seeded bugs in footprints, and in how nodes follow them: see `mutants`.

They are found only where news are lost on the bus without a sign, so `_LOSSY` does that for much of
a run, and few posts follow that would show the gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.cluster.trail import Found, Trail
from tocsin.persistence.scripts import footprints


def _without(statement: str) -> Callable[[Any], Any]:
    def forgetful(writing: dict[str, Any]) -> dict[str, Any]:
        return {name: tread for name, tread in writing.items() if name != statement}

    return forgetful


def _go_on_behind_all_that_is_seen(follow: Original) -> Original:
    async def hasty(self: Trail) -> Found:
        newest = 0

        async def read(query: Any) -> Any:
            nonlocal newest
            page = await ask(query)
            newest = newest or page.newest
            return page

        ask, self._read = self._read, read
        try:
            found: Found = await follow(self)
        finally:
            self._read = ask
        return found._replace(place=found.place._replace(oldest=newest))

    return hasty


def _go_on_behind_pages_unread(follow: Original) -> Original:
    async def hasty(self: Trail) -> Found:
        async def read(query: Any) -> Any:
            page = await ask(structs.replace(query, limit=1))
            return structs.replace(page, more=None)

        ask, self._read = self._read, read
        try:
            found: Found = await follow(self)
        finally:
            self._read = ask
        return found

    return hasty


_LOSSY: Final = {"bus_silent": 4.0}
_SPARSE: Final[dict[str, Any]] = {
    "users": 10,
    "posts": 0.4,
    "duration": 60.0,
    "settling": 90.0,
    "actions": 0.0,
    "bad_devices": 0.0,
    "disconnections": 0.0,
}

OF_FOOTPRINTS: Final = (
    *(
        Mutation(
            name=f"leave no footprint in {statement}",
            owner=footprints,
            attribute="WRITING",
            patch=_without(statement),
            faults=_LOSSY,
            plan=_SPARSE | plan,
        )
        for statement, plan in (
            ("users_advance", {}),
            ("topics_advance", {"topics": 0.6, "subscriptions": 0.3}),
            ("subscriptions_save", {"topics": 0.5, "subscriptions": 0.5, "devices": 1}),
        )
    ),
    Mutation(
        name="go on behind all that is seen",
        owner=Trail,
        attribute="follow",
        patch=_go_on_behind_all_that_is_seen,
        faults=_LOSSY,
        plan=_SPARSE,
    ),
    Mutation(
        name="go on behind pages unread",
        owner=Trail,
        attribute="follow",
        patch=_go_on_behind_pages_unread,
        faults=_LOSSY,
        plan=_SPARSE,
    ),
)
