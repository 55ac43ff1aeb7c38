"""Seeded bugs of the pause between two polls: which device goes on, and with what."""

from __future__ import annotations

from typing import Any, Final

from simulation.bugs.mutation import Mutation, Original
from tocsin.protocol.delivery.phases import Phase
from tocsin.protocol.delivery.resting import RestingDelivery
from tocsin.protocol.delivery.session import DeviceSession


def _any_cursor(_: Original) -> Original:
    def trusting(self: RestingDelivery, cursor: Any, window: int) -> bool:
        return self.phase is Phase.RESTING

    return trusting


def _miss_nothing(_: Original) -> Any:
    return property(lambda self: True)


_POLLED_ALONE: Final[dict[str, Any]] = {"nodes": 1, "polls": 1.0}

OF_POLLS: Final = (
    Mutation(
        name="go on from any cursor",
        owner=RestingDelivery,
        attribute="can_return",
        patch=_any_cursor,
        plan=_POLLED_ALONE | {"bad_devices": 1.0},
    ),
    Mutation(
        name="go on without what was missed",
        owner=DeviceSession,
        attribute="is_whole",
        patch=_miss_nothing,
        plan=_POLLED_ALONE,
    ),
)
