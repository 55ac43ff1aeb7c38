"""Seeded bugs in receipts and in carrying them: see `mutants`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.sinks import hands
from tocsin.persistence.scripts import write
from tocsin.protocol.sink import BatchTaken

_WEBHOOK: Final = {"webhook": 1.0, "webhook_trouble": 0.5, "actions": 0.5, "settling": 400.0}


def _taken_whatever_is_answered(_: Original) -> Original:
    return lambda answer, now_ms: BatchTaken()


def _append_nothing(_: Original) -> Original:
    def idle(facts: Any) -> Iterator[Any]:
        yield from ()

    return idle


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
)
