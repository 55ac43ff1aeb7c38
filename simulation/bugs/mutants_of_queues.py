"""Seeded bugs in taking from brokers: see `mutants`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from simulation.bugs.mutation import Mutation, Original
from tocsin.server.ingest import connector, orders
from tocsin.server.ingest.batch_in_hand import BatchInHand
from tocsin.server.ingest.connector import ConnectorActor

_QUEUE: Final = {"queue": 3.0, "posts": 0.5}
_CUTS: Final = {"queue_cut": 12.0, "queue_restarted": 8.0}


def _acknowledge_first(settle: Original) -> Original:
    async def hasty(self: Any, source: Any, taken: Sequence[Any]) -> None:
        await source.done(taken)
        await settle(self, source, taken)

    return hasty


def _no_key(_: Original) -> Original:
    return lambda taken: None


def _key_without_number(_: Original) -> Original:
    return lambda taken: str(taken.place).partition("/")[0]


def _drop_letters(_: Original) -> Original:
    async def drop(self: Any, source: Any, taken: Sequence[Any], batch: Any) -> bool:
        return True

    return drop


def _carry_out_backwards(carry_out: Original) -> Original:
    async def backwards(publishing: Any, principal: Any, asked: Sequence[Any]) -> Any:
        return (await carry_out(publishing, principal, asked[::-1]))[::-1]

    return backwards


def _try_once(settle: Original) -> Original:
    def once(self: Any, outcomes: Any, now_ms: int) -> None:
        settle(self, outcomes, now_ms)
        self._left = []

    return once


def _never_again(ended: Original) -> Original:
    def final(self: Any, error: Exception) -> float:
        ended(self, error)
        return math.inf

    return final


OF_QUEUES: Final = (
    Mutation(
        name="acknowledge before the commit",
        owner=ConnectorActor,
        attribute="_settle",
        patch=_acknowledge_first,
        plan=_QUEUE,
        within=2,
    ),
    Mutation(
        name="messages have no keys",
        owner=orders,
        attribute="key_of_message",
        patch=_no_key,
        faults=_CUTS,
        plan=_QUEUE,
        within=10,
    ),
    Mutation(
        name="keys without the number",
        owner=orders,
        attribute="key_of_message",
        patch=_key_without_number,
        plan=_QUEUE,
        within=2,
    ),
    Mutation(
        name="poison is dropped",
        owner=ConnectorActor,
        attribute="_bury",
        patch=_drop_letters,
        plan=_QUEUE,
        within=2,
    ),
    Mutation(
        name="a batch backwards",
        owner=connector,
        attribute="carry_out",
        patch=_carry_out_backwards,
        plan=_QUEUE,
        within=4,
    ),
    Mutation(
        name="a refused message is forgotten",
        owner=BatchInHand,
        attribute="settle",
        patch=_try_once,
        faults={"store_away": 10.0, "store_fails": 20.0},
        # A node alone has no spool that would take the message.
        plan={**_QUEUE, "nodes": 1},
    ),
    Mutation(
        name="a lost source stays lost",
        owner=ConnectorActor,
        attribute="_ended",
        patch=_never_again,
        faults=_CUTS,
        plan=_QUEUE,
        within=4,
    ),
)
