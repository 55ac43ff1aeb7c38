"""What operators may know of the spool: what waits in it, and what will never come out."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from tocsin.actors.spool_entries import SpoolUnavailable
from tocsin.protocol.problems import refuse
from tocsin.server.api import answers
from tocsin.server.api.operation import Answer, Call, Caller, Operations, Query

operations = Operations("operators")

_RETRY_AFTER: Final = 2.0


class SpoolQuery(Query, frozen=True, kw_only=True):
    """How much of what was put aside."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


@operations.define(
    *("GET", "/v1/admin/spool", "Show the spool"),
    caller=Caller.ADMIN,
    query=SpoolQuery,
    problems=("bus_unavailable", "not_found"),
    answers={200: answers.SpoolState},
)
async def show_spool(call: Call[SpoolQuery, None]) -> Answer:
    """How many entries wait, and which can never be stored, and why. `404` without Redis."""
    spooler = call.services.spooler
    if spooler is None:
        raise refuse("not_found", "This node has no spool: it is not part of a cluster.")
    try:
        poisoned = await spooler.poisoned(call.query.limit)
    except SpoolUnavailable:
        raise refuse(
            "bus_unavailable", "The spool cannot be read now.", retry_after=_RETRY_AFTER
        ) from None
    aside = [
        answers.PoisonedEntry(entry=each.entry, reason=each.reason, payload=each.payload)
        for each in poisoned
    ]
    return Answer(
        answers.SpoolState(available=spooler.reachable, entries=spooler.waiting, poisoned=aside)
    )
