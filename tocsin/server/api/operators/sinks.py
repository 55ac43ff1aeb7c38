"""Sinks in brokers, for operators: how far each is, and pausing, enabling and rewinding it."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.actors.sinks.terms import SinkTerms, id_of
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.sink_commands import BROKER, ChangeSink, ListSinks, StoredSink
from tocsin.protocol.notifications.notification import Instant
from tocsin.protocol.receipts.sink import ACTIVE, PAUSED
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import NO_CONTENT, Answer, Call, Caller, Operations, UrlQuery
from tocsin.server.api.operators import sink_answers
from tocsin.server.api.operators.rewinding import position_since

operations = Operations("operators")


class SinkRewind(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The time whose receipts are the first to be carried again."""

    since: Instant


@operations.define(
    *("GET", "/v1/admin/sinks", "Show the sinks in brokers"),
    caller=Caller.ADMIN,
    answers={200: sink_answers.SinkList},
)
async def list_sinks(call: Call[UrlQuery, None]) -> Answer:
    """Those that the settings of this node have, once a node was started with them."""
    found = await call.services.read(ListSinks(kind=BROKER))
    stored = {each.id: each for each in found.sinks}
    lines = [
        _line(terms, stored[terms.id], found.head)
        for terms in call.services.sinks.terms
        if terms.id in stored
    ]
    return Answer(sink_answers.SinkList(sinks=lines))


@operations.define(
    *("POST", "/v1/admin/sinks/{sink}/pause", "Pause a sink"),
    caller=Caller.ADMIN,
    problems=("not_found",),
    answers={204: None},
)
async def pause_sink(call: Call[UrlQuery, None], sink: str) -> Answer:
    """It keeps its place; receipts wait for it as long as they are kept."""
    return await _change(call, "sink paused", sink, ChangeSink(id_of(sink), state=PAUSED))


@operations.define(
    *("POST", "/v1/admin/sinks/{sink}/enable", "Enable a sink that was paused or disabled"),
    caller=Caller.ADMIN,
    problems=("not_found",),
    answers={204: None},
)
async def enable_sink(call: Call[UrlQuery, None], sink: str) -> Answer:
    """It goes on where it stopped, and its failures are forgotten."""
    return await _change(call, "sink enabled", sink, ChangeSink(id_of(sink), state=ACTIVE))


@operations.define(
    *("POST", "/v1/admin/sinks/{sink}/rewind", "Carry receipts to a sink again"),
    caller=Caller.ADMIN,
    body=SinkRewind,
    problems=("not_found",),
    answers={204: None},
)
async def rewind_sink(call: Call[UrlQuery, SinkRewind], sink: str) -> Answer:
    """All since a time, as far as they are kept: what was carried is carried again."""
    position = await position_since(call, call.body.since)
    return await _change(call, "sink rewound", sink, ChangeSink(id_of(sink), position=position))


async def _change(call: Call[Any, Any], event: str, name: str, change: ChangeSink) -> Answer:
    with audited(call, event, sink=name):
        of_broker = msgspec.structs.replace(change, kind=BROKER)
        if isinstance(await call.services.write(of_broker), NotFound):
            raise _unknown()
    call.services.sinks.changed()
    return NO_CONTENT


def _unknown() -> Refused:
    return refuse("not_found", "There is no sink of this name.")


def _line(terms: SinkTerms, sink: StoredSink, head: int) -> sink_answers.SinkLine:
    progress = sink.progress
    failing, succeeded = progress.failing_since, progress.succeeded_at
    return sink_answers.SinkLine(
        name=terms.name,
        kind=terms.kind,
        events=list(sink.filter.events),
        categories=list(sink.filter.categories),
        state=progress.state,  # type: ignore[arg-type]
        reason=progress.reason,
        position=progress.position,
        behind=max(0, head - progress.position),
        lost=progress.lost,
        failing_since=None if failing is None else to_rfc3339(failing),
        succeeded_at=None if succeeded is None else to_rfc3339(succeeded),
    )
