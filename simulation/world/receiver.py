"""The receiver of the webhook: takes receipts, and in the first half of a run often does not.

It implements the product's port for outbound requests, so a node's forwarder talks to it as to a
real one. It is down, says 5xx, hangs, or takes a batch whose answer is lost. All of its trouble is
over by half of the run, because a forwarder waits for minutes before it tries again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from simulation.world.chance import Chance
from simulation.world.plan import Plan
from simulation.world.timeline import Timeline
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed

URL: Final = "https://receiver.simulated/hooks"
_DELAY: Final = 0.05
"""The most seconds that an answer takes."""
_PATIENCE: Final = 15.0
"""Seconds after which the port gives an answer up."""


class SimulatedReceiver:
    """See the module. *taken* are the receipts of all batches that it took, in order."""

    def __init__(self, plan: Plan, timeline: Timeline, chance: Chance) -> None:
        self._trouble = plan.webhook_trouble
        self._calm_at = plan.duration / 2
        self._timeline = timeline
        self._chance = chance
        self.taken: list[dict[str, Any]] = []

    async def check(self, url: str) -> None:
        """Every URL leads here."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        """Take the batch, or not; see the module."""
        await self._timeline.sleep(_DELAY * self._chance.random())
        is_calm = self._timeline.now >= self._calm_at
        if is_calm or not self._chance.happens(self._trouble):
            return self._take(body)
        match self._chance.one(("down", "fails", "hangs", "answer lost")):
            case "down":
                raise OutboundFailed("no_connection", "The receiver is down.")
            case "fails":
                return OutboundAnswer(503)
            case "hangs":
                await self._timeline.sleep(_PATIENCE)
                raise OutboundFailed("timeout", "The receiver hangs.")
            case _:
                self._take(body)
                raise OutboundFailed("no_connection", "The answer was lost.")

    def _take(self, body: bytes) -> OutboundAnswer:
        self.taken += msgspec.json.decode(body)["data"]["receipts"]
        return OutboundAnswer(204)
