"""Seeded bugs in escalation and in its channels: see `mutants`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.escalation import outcomes
from tocsin.actors.escalation.channel_worker import ChannelWorker
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.persistence.scripts import escalating, preferring, sends
from tocsin.persistence.scripts.logs import change

_ESCALATING: Final = {
    "escalations": 0.8,
    "posts": 3.0,
    "bad_devices": 0.9,
    "actions": 0.15,
    "channel_trouble": 0.3,
    "settling": 600.0,
}


def _no_lease(judge: Original) -> Original:
    def free(row: Any, command: Any, preferring: Any) -> Any:
        judged = judge(row, command, preferring)
        if judged.node is None:
            return judged
        return msgspec.structs.replace(judged, next_at=command.now_ms)

    return free


def _uncounted(judge: Original) -> Original:
    def forgetful(row: Any, command: Any, preferring: Any) -> Any:
        return msgspec.structs.replace(judge(row, command, preferring), attempts=row.attempts)

    return forgetful


def _never_satisfied(_: Original) -> Original:
    return lambda until, state, delivered_at: False


def _never_quiet(_: Original) -> Original:
    return lambda preferences, subject, now_ms: None


def _always_wanted(_: Original) -> Original:
    return lambda preferences, subject: True


def _unnoted(_: Original) -> Original:
    async def forget(self: Any, verdict: Any) -> None:
        return None

    return forget


def _twice(found: Original) -> Original:
    def doubled(dues: Any, now_ms: int) -> Any:
        made = yield from found(dues, now_ms)
        again = [msgspec.structs.replace(each, id=f"{each.id}-2") for each in made]
        return [*made, *again]

    return doubled


def _one_address(found: Original) -> Original:
    def short(dues: Any, now_ms: int) -> Any:
        made = yield from found(dues, now_ms)
        return made[:1]

    return short


def _no_plan(_: Original) -> Original:
    def idle(admission: Any, outcomes: Any, plan: Any) -> Any:
        yield from ()

    return idle


def _at_once(_: Original) -> Original:
    return lambda attempts, asked, attempts_max=None: 1.0


def _wall_clock(_: Original) -> Original:
    def now_ms(self: Any) -> int:
        shown: int = self._world.now_ms()
        return shown

    return now_ms


def _mutation(name: str, owner: Any, attribute: str, patch: Any, **more: Any) -> Mutation:
    return Mutation(
        name=name, owner=owner, attribute=attribute, patch=patch, plan=_ESCALATING, **more
    )


OF_SENDS: Final = (
    _mutation("claim without a lease", sends, "_judge", _no_lease, within=2),
    _mutation("attempts are not counted", sends, "_judge", _uncounted, within=2),
    _mutation("acks are not looked at", sends, "is_satisfied", _never_satisfied, within=4),
    _mutation("quiet hours are ignored", preferring, "deferred_until", _never_quiet, within=10),
    _mutation("channels cannot be off", preferring, "is_wanted", _always_wanted),
    _mutation("what was taken is not noted", ChannelWorker, "_settle", _unnoted, within=2),
    _mutation("tried again at once", outcomes, "retry_delay", _at_once, within=6),
    _mutation("a step twice", escalating, "_sends", _twice, within=2),
    _mutation("a step for one of many", escalating, "_sends", _one_address, within=4),
    _mutation("no plan begins", change, "begin_escalations", _no_plan, within=2),
    _mutation(
        *("sends by each node's clock", StoreClock, "now_ms", _wall_clock),
        faults={"clock": 6.0},
        within=4,
    ),
)
