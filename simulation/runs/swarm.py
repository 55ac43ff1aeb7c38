"""The scenario of a seed: the size of the cluster, its use, and its faults.

Each seed leaves out some kinds of work and of faults ("swarm testing"): a mixture of everything has
little of anything, and faults that always come together can hide each other's effects.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgspec

from simulation.faults.schedule import CALM, Faults, Schedule, draw
from simulation.world.chance import Chance
from simulation.world.plan import Plan

_LEFT_OUT_WORK: Final = 0.3
"""The probability that a seed leaves out a kind of work."""
_LEFT_OUT_FAULT: Final = 0.5
"""The probability that a seed leaves out a kind of fault."""
_CALM: Final = 0.08
"""The share of seeds without any fault."""
_ALONE: Final = 0.15
"""The share of seeds with a single node."""
_CALM_ENDS: Final = 0.05
"""The share of seeds with a time of calm at the end."""
_CALM_END: Final = 90.0
"""Seconds of calm, after which a node must have let go of all that it keeps for a while."""

WORK: Final = (
    *("keys", "broadcasts", "topics", "collapses", "expiries", "schedules", "updates"),
    *("withdrawals", "inquiries", "subscriptions", "disconnections", "bursts", "sockets"),
    *("actions", "streams", "polls", "bad_devices"),
)


LATER_WORK: Final = (*("mutes", "letters", "retention", "retention_archived", "retention_expired"),)
"""Fields with a random generator of their own. They were added later, and with the older generator
all seeds would have become other runs."""
_RETENTIONS: Final = 0.0, 8.0, 15.0, 40.0
"""Seconds of retention among which a seed chooses; 0 purges nothing within a run."""
_SHORT_RETENTIONS: Final = 0.0, 2.0, 8.0
"""The same for archived and expired notifications."""


_QUEUED: Final = 0.25
"""The share of seeds in which nodes take from a broker."""
_SINKS: Final = 0.15
"""The share of seeds with a sink in a broker."""
_ESCALATING: Final = 0.2
"""The share of seeds in which notifications escalate."""
_ESCALATIONS: Final = 0.2, 0.5
"""The shares of posts with a plan among which such a seed chooses."""
_LONG_SETTLING: Final = 600.0
"""Seconds within which such a seed must be settled."""
_QUEUES: Final = 0.5, 1.0, 2.0
"""Messages per second among which such a seed chooses."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides a run."""

    plan: Plan
    schedule: Schedule = ()


def scenario_of(seed: int, *, faultless: bool = False, **wanted: Any) -> Scenario:
    """The scenario of *seed*, with the fields *wanted* of its plan; *faultless*: without faults."""
    chance = Chance(seed, "swarm")
    plan = dataclasses.replace(_plan(seed, chance), **wanted)
    faults = _faults(chance)
    return Scenario(plan=plan, schedule=draw(seed, CALM if faultless else faults, plan))


def _plan(seed: int, chance: Chance) -> Plan:
    usual = Plan(seed=seed)
    work: dict[str, Any] = {
        name: 0.0 if chance.happens(_LEFT_OUT_WORK) else getattr(usual, name) for name in WORK
    }
    later = Chance(seed, "swarm", "later")
    usual = dataclasses.replace(
        usual,
        retention=later.one(_RETENTIONS),
        retention_archived=later.one(_SHORT_RETENTIONS),
        retention_expired=later.one(_SHORT_RETENTIONS),
        attempts=later.one((20, 20, 3)),
        mutes=0.0 if later.happens(_LEFT_OUT_WORK) else usual.mutes,
        letters=0.0 if later.happens(_LEFT_OUT_WORK) else usual.letters,
    )
    return dataclasses.replace(
        usual,
        nodes=1 if chance.happens(_ALONE) else chance.one((2, 3, 3, 4)),
        users=chance.one((1, 3, 6, 10)),
        devices=chance.one((1, 2, 3)),
        producers=chance.one((1, 2, 3)),
        posts=chance.one((0.5, 1.0, 2.0, 4.0)),
        resend_delay=Chance(seed, "terms").one((1.0, 10.0, 10.0)),
        calm=_CALM_END if Chance(seed, "calm").happens(_CALM_ENDS) else 0.0,
        duration=chance.one((20.0, 30.0, 60.0, 120.0)),
        **_connections(seed),
        **work,
    )


def _connections(seed: int) -> dict[str, Any]:
    """The use of brokers; with a random generator of its own, as it was added last."""
    chance = Chance(seed, "swarm", "connections")
    found: dict[str, Any] = {"queue": chance.one(_QUEUES) if chance.happens(_QUEUED) else 0.0}
    if chance.happens(_SINKS):
        # A batch that failed often is tried again after minutes.
        found |= {"sink": 1.0, "sink_trouble": chance.one((0.0, 0.2)), "settling": _LONG_SETTLING}
    chance = Chance(seed, "swarm", "channels")
    if chance.happens(_ESCALATING):
        found |= {"escalations": chance.one(_ESCALATIONS), "settling": _LONG_SETTLING}
        found["channel_trouble"] = chance.one((0.0, 0.2, 0.5))
    return found


def _faults(chance: Chance) -> Faults:
    is_calm = chance.happens(_CALM)
    rates = {
        name: 0.0 if chance.happens(_LEFT_OUT_FAULT) else rate * chance.uniform(0.5, 4.0)
        for name, rate in msgspec.structs.asdict(Faults()).items()
    }
    return CALM if is_calm else Faults(**rates)
