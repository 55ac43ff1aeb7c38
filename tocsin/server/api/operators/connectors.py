"""Connectors, for operators: what each does on this node, and pausing them on all nodes."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.persistence.store.ingest_commands import (
    ConnectorOrders,
    ReadConnector,
    SetConnector,
)
from tocsin.protocol.refusal import refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import NO_CONTENT, Answer, Call, Caller, Operations, UrlQuery
from tocsin.server.api.operators import connector_answers
from tocsin.server.connector_status import ConnectorStatus

operations = Operations("operators")

SKIPS_MAX = 100
"""Places that a connector remembers to pass over; the oldest go first."""


class SkipRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The message to pass over."""

    place: connector_answers.Place


@operations.define(
    *("GET", "/v1/admin/connectors", "Show the connectors of this node"),
    caller=Caller.ADMIN,
    answers={200: connector_answers.ConnectorList},
)
async def list_connectors(call: Call[UrlQuery, None]) -> Answer:
    """The state of each of them here, and the number of its messages since the node's start.

    Of a connector that takes on one node at a time, the other nodes say `elsewhere`.
    """
    connectors = [_line(each) for each in call.services.connectors.all]
    return Answer(
        connector_answers.ConnectorList(node=call.services.settings.node, connectors=connectors)
    )


@operations.define(
    *("POST", "/v1/admin/connectors/{connector}/pause", "Have a connector take nothing more"),
    caller=Caller.ADMIN,
    problems=("not_found",),
    answers={204: None},
)
async def pause_connector(call: Call[UrlQuery, None], connector: str) -> Answer:
    """On all nodes, within some seconds, until it is resumed; the messages wait in their broker."""
    orders = await _orders(call, connector)
    with audited(call, "connector paused", connector=connector):
        paused = msgspec.structs.replace(orders, paused_at=orders.paused_at or call.now_ms)
        await call.services.write(SetConnector(connector, paused))
    return NO_CONTENT


@operations.define(
    *("POST", "/v1/admin/connectors/{connector}/resume", "Have a paused connector go on"),
    caller=Caller.ADMIN,
    problems=("not_found",),
    answers={204: None},
)
async def resume_connector(call: Call[UrlQuery, None], connector: str) -> Answer:
    """On all nodes, within some seconds; of one that is not paused it is no error."""
    orders = await _orders(call, connector)
    with audited(call, "connector resumed", connector=connector):
        resumed = msgspec.structs.replace(orders, paused_at=None)
        await call.services.write(SetConnector(connector, resumed))
    return NO_CONTENT


@operations.define(
    *("POST", "/v1/admin/connectors/{connector}/skip", "Pass over a message that cannot be read"),
    caller=Caller.ADMIN,
    body=SkipRequest,
    problems=("not_found",),
    answers={204: None},
)
async def skip_message(call: Call[UrlQuery, SkipRequest], connector: str) -> Answer:
    """For a record of Kafka that stops its partition (`refused`), because it is damaged or packed
    in an unknown way. Nothing is kept of it. A message that can be read and not stored becomes a
    dead letter by itself, and needs no skipping.
    """
    orders = await _orders(call, connector)
    place = call.body.place
    with audited(call, "message skipped", connector=connector, place=place):
        skips = (*(each for each in orders.skips if each != place), place)[-SKIPS_MAX:]
        await call.services.write(
            SetConnector(connector, msgspec.structs.replace(orders, skips=skips))
        )
    return NO_CONTENT


async def _orders(call: Call[Any, Any], name: str) -> ConnectorOrders:
    """The orders for the connector called *name*; raises `Refused`."""
    if call.services.connectors.find(name) is None:
        raise refuse("not_found", "The settings of this node have no connector of this name.")
    return await call.services.read(ReadConnector(name))


def _line(connector: ConnectorStatus) -> connector_answers.ConnectorLine:
    counters = connector.counters
    return connector_answers.ConnectorLine(
        name=connector.terms.name,
        kind=connector.terms.kind,
        state=connector.state.value,
        since=to_rfc3339(connector.since),
        reason=connector.reason or None,
        lag=connector.lag,
        taken=counters.taken,
        accepted=counters.accepted,
        replayed=counters.replayed,
        refused=counters.refused,
        unkeyed=counters.unkeyed,
        skips=list(connector.orders.skips),
    )
