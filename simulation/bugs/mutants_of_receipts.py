"""Seeded bugs in receipts and in carrying them: see `mutants`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.sinks import hands
from tocsin.actors.sinks.hands import BrokerHand
from tocsin.persistence.scripts import write
from tocsin.protocol.receipts.sink import BatchTaken

_WEBHOOK: Final = {"webhook": 1.0, "webhook_trouble": 0.5, "actions": 0.5, "settling": 400.0}

_SINK: Final = {"sink": 1.0, "sink_trouble": 0.3, "actions": 0.5, "settling": 400.0}


def _taken_whatever_is_answered(_: Original) -> Original:
    return lambda answer, now_ms: BatchTaken()


def _append_nothing(_: Original) -> Original:
    def idle(facts: Any) -> Iterator[Any]:
        yield from ()

    return idle


def _confirmed_whatever_happens(carry: Original) -> Original:
    async def hopeful(self: Any, batch: Any, gap: Any) -> Any:
        await carry(self, batch, gap)
        return BatchTaken()

    return hopeful


def _all_but_the_first(carry: Original) -> Original:
    async def short(self: Any, batch: Any, gap: Any) -> Any:
        return await carry(self, batch[1:], gap) if len(batch) > 1 else BatchTaken()

    return short


def _latest_first(carry: Original) -> Original:
    async def reverse(self: Any, batch: Any, gap: Any) -> Any:
        return await carry(self, batch[::-1], gap)

    return reverse


OF_RECEIPTS: Final = (
    Mutation(
        name="move before the receiver took",
        owner=hands,
        attribute="judge",
        patch=_taken_whatever_is_answered,
        plan=_WEBHOOK,
    ),
    Mutation(
        name="no receipts of reading",
        owner=write,
        attribute="append",
        patch=_append_nothing,
        plan=_WEBHOOK,
    ),
    Mutation(
        name="confirmed whatever happens",
        owner=BrokerHand,
        attribute="carry",
        patch=_confirmed_whatever_happens,
        plan=_SINK,
    ),
    Mutation(
        name="all receipts but the first",
        owner=BrokerHand,
        attribute="carry",
        patch=_all_but_the_first,
        plan=_SINK,
        within=2,
    ),
    Mutation(
        name="the latest receipt first",
        owner=BrokerHand,
        attribute="carry",
        patch=_latest_first,
        plan=_SINK,
        within=4,
    ),
)
