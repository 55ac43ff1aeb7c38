"""The operations of the HTTP API, all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tocsin.server.api import (
    channels,
    inbox,
    me,
    presence,
    producers,
    receipts,
    streams,
    topics,
    unsubscribing,
)
from tocsin.server.api.documents import documents_of
from tocsin.server.api.operation import Caller, Operation
from tocsin.server.api.operators import (
    connectors,
    dead_letters,
    events,
    inspecting,
    keys,
    nodes,
    sinks,
    spool,
    webhook_letters,
    webhooks,
)

_WORK: Final[tuple[Operation, ...]] = (
    *producers.operations.all,
    *topics.operations.all,
    *presence.operations.all,
    *inbox.operations.all,
    *streams.operations.all,
    *me.operations.all,
    *channels.operations.all,
    *unsubscribing.operations.all,
    *nodes.operations.all,
    *inspecting.operations.all,
    *events.operations.all,
    *keys.operations.all,
    *spool.operations.all,
    *connectors.operations.all,
    *sinks.operations.all,
    *dead_letters.operations.all,
    *receipts.operations.all,
    *webhooks.operations.all,
    *webhook_letters.operations.all,
)
OPERATIONS: Final[tuple[Operation, ...]] = (*_WORK, *documents_of(_WORK).all)
"""Everything that the HTTP API does."""


def open_metrics_operation() -> Operation:
    """`/metrics` without credentials: for a port that only the monitoring reaches."""
    (metrics,) = (each for each in _WORK if each.path == "/metrics")
    return replace(metrics, caller=Caller.ANYONE, lean=True)
