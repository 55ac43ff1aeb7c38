"""Seeded bugs in purging, expiry and dead letters: see `mutants`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from msgspec import structs

from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.publishing import scheduler
from tocsin.persistence.scripts import devices as device_scripts
from tocsin.persistence.scripts import purge as purge_scripts
from tocsin.persistence.scripts import read as read_scripts
from tocsin.persistence.scripts import settle_letters as letter_scripts
from tocsin.persistence.scripts.logs import change as log_scripts
from tocsin.persistence.scripts.logs.plan import Plan
from tocsin.persistence.scripts.statements import Script
from tocsin.persistence.store.commands import Done
from tocsin.persistence.store.queries import Page
from tocsin.persistence.store.upkeep_commands import Purge, ReplayLetter
from tocsin.protocol.log.cursor import Start

_EARLY: Final = 5000
"""Milliseconds by which notifications are purged too early."""


def _do_nothing(_: Original) -> Original:
    def idle(*arguments: Any, **keywords: Any) -> Iterator[Any]:
        yield from ()

    return idle


# --- Retention ------------------------------------------------------------------------------------


def _serve_what_is_below_the_horizon(choose_start: Original) -> Original:
    def trusting(requested: Any, epoch: str, state: Any) -> Start:
        chosen: Start = choose_start(requested, epoch, state)
        if chosen.reset == "horizon" and requested is not None:
            return Start(requested.sequence, None, resumed=True)
        return chosen

    return trusting


def _go_on_below_the_horizon(choose_start: Original) -> Original:
    def trusting(requested: Any, epoch: str, state: Any) -> Start:
        chosen: Start = choose_start(requested, epoch, state)
        is_stored = requested is None or not requested.acknowledges
        if chosen.reset == "horizon" and is_stored and state.stored is not None:
            return Start(min(state.stored, state.head), None, resumed=True)
        return chosen

    return trusting


def _read_over_a_purge(page: Original) -> Original:
    def blind(rows: Any) -> Page:
        read: Page = page(rows)
        return structs.replace(read, horizon=0)

    return blind


def _purged_as(**columns: Any) -> Callable[[Original], Original]:
    def patch(correct: Original) -> Original:
        def changed(rows: Sequence[Any]) -> Any:
            return correct([row._replace(**columns) for row in rows])

        return changed

    return patch


def _purge_early(purge: Original) -> Original:
    def early(**named: Any) -> Purge:
        created = named.pop("created_before") + _EARLY
        made: Purge = purge(created_before=created, **named)
        return made

    return early


def _choose_nothing(_: Original) -> Original:
    def idle(command: Purge) -> Script[Any]:
        yield from ()
        return []

    return idle


def _expire_nothing(_: Original) -> Original:
    return lambda self, number, command: None


# --- Dead letters ---------------------------------------------------------------------------------


def _settle_anew(settle: Original) -> Original:
    def generous(command: Any, desk: Any) -> Any:
        letter = desk.letters.get(command.id)
        if letter is not None and isinstance(command, ReplayLetter):
            letter.status = "dead"
        return settle(command, desk)

    return generous


def _leave_what_is_discarded(settle: Original) -> Original:
    def careless(command: Any, desk: Any) -> Any:
        return settle(command, desk) if isinstance(command, ReplayLetter) else Done()

    return careless


_KEPT: Final[dict[str, Any]] = {
    "bad_devices": 1.0,
    "retention": 6.0,
    "retention_archived": 2.0,
    "actions": 0.5,
    "updates": 0.2,
    "withdrawals": 0.1,
}
_LETTERS: Final[dict[str, Any]] = {
    "bad_devices": 1.0,
    "expiries": 0.6,
    "letters": 1.0,
    "attempts": 2,
    "resend_delay": 1.0,
    "posts": 6.0,
}

OF_UPKEEP: Final = (
    Mutation(
        name="serve what is below the horizon",
        owner=device_scripts,
        attribute="choose_start",
        patch=_serve_what_is_below_the_horizon,
        plan=_KEPT,
    ),
    Mutation(
        name="go on below the horizon",
        owner=device_scripts,
        attribute="choose_start",
        patch=_go_on_below_the_horizon,
        plan=_KEPT | {"devices": 3},
        within=20,
    ),
    Mutation(
        name="read over a purge",
        owner=read_scripts,
        attribute="_page",
        patch=_read_over_a_purge,
        plan=_KEPT | {"actions": 1.0},
        within=20,
    ),
    Mutation(
        name="purge and count on",
        owner=purge_scripts,
        attribute="_correct_users",
        patch=_purged_as(state="read"),
        plan=_KEPT,
    ),
    Mutation(
        name="purge and move no horizon",
        owner=purge_scripts,
        attribute="_correct_users",
        patch=_purged_as(sequence=0),
        # Only archived notifications are purged. So no device is forgotten, and all must be told.
        plan=_KEPT | {"retention": 0.0, "retention_archived": 1.0, "devices": 3, "actions": 1.0},
        within=20,
    ),
    Mutation(
        name="purge too early",
        owner=scheduler,
        attribute="Purge",
        patch=_purge_early,
        plan=_KEPT,
    ),
    Mutation(
        name="purge nothing",
        owner=purge_scripts,
        attribute="_choose",
        patch=_choose_nothing,
        plan=_KEPT,
    ),
    Mutation(
        name="expire nothing",
        owner=Plan,
        attribute="expire",
        patch=_expire_nothing,
        plan={"expiries": 0.6, "settling": 20.0},
    ),
    Mutation(
        name="no letters of the expired",
        owner=log_scripts,
        attribute="undelivered",
        patch=_do_nothing,
        plan=_LETTERS,
    ),
    Mutation(
        name="lose a replay",
        owner=letter_scripts,
        attribute="_replay",
        patch=lambda _: lambda *arguments: None,
        plan=_LETTERS,
    ),
    Mutation(
        name="replay a settled letter",
        owner=letter_scripts,
        attribute="_settle",
        patch=_settle_anew,
        plan=_LETTERS,
    ),
    Mutation(
        name="settle nothing",
        owner=letter_scripts,
        attribute="_mark_settled",
        patch=lambda _: lambda *arguments: None,
        plan=_LETTERS,
    ),
    Mutation(
        name="discard nothing",
        owner=letter_scripts,
        attribute="_settle",
        patch=_leave_what_is_discarded,
        plan=_LETTERS,
    ),
    Mutation(
        name="replay past the failed device",
        owner=letter_scripts,
        attribute="_resend",
        patch=_do_nothing,
        plan=_LETTERS,
    ),
)
