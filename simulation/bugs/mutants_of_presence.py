"""Seeded bugs of presence: the lease of a node's run, and the devices that it vouches for."""

from __future__ import annotations

from typing import Any, Final

import trio

from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.delivery.attendance import Attendance, PresenceActor


def _renew_nothing(_: Original) -> Original:
    async def idle(self: PresenceActor) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    return idle


def _believe_all_is_there(renew: Original) -> Original:
    async def trusting(self: PresenceActor) -> bool:
        await renew(self)
        return True

    return trusting


def _name_the_run_like_the_node(make: Original) -> Original:
    def nameless(self: Attendance, node: str, *rest: Any) -> None:
        make(self, node, *rest)
        self.run = node

    return nameless


_ASKED_OFTEN: Final[dict[str, Any]] = {"nodes": 4, "looks": 5.0, "duration": 60.0}

OF_PRESENCE: Final = (
    Mutation(
        name="renew no run",
        owner=PresenceActor,
        attribute="_renew",
        patch=_renew_nothing,
    ),
    Mutation(
        name="believe a service that has forgotten",
        owner=PresenceActor,
        attribute="_renew",
        patch=_believe_all_is_there,
        faults={"bus_wiped": 4.0},
        plan=_ASKED_OFTEN,
    ),
    Mutation(
        name="vouch for the run before",
        owner=Attendance,
        attribute="__init__",
        patch=_name_the_run_like_the_node,
        faults={"killed": 4.0},
        plan=_ASKED_OFTEN,
    ),
)
