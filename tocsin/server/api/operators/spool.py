"""The spool, for operators: what waits in it, and what was put aside because it never comes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, assert_never

from msgspec import Meta

from tocsin.actors.spool.entries import SpoolUnavailable
from tocsin.actors.spool.line import SpoolLine
from tocsin.persistence.bus import Replaying
from tocsin.protocol.refusal import Refused, refuse
from tocsin.server.api import answers
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import NO_CONTENT, Answer, Call, Caller, Operations, UrlQuery

operations = Operations("operators")


class SpoolQuery(UrlQuery, frozen=True, kw_only=True):
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
    spooler = _spooler(call)
    with _unavailable_is_503():
        poisoned = await spooler.poisoned(call.query.limit)
    aside = [
        answers.PoisonedEntry(entry=each.entry, reason=each.reason, payload=each.payload)
        for each in poisoned
    ]
    return Answer(
        answers.SpoolState(available=spooler.reachable, entries=spooler.waiting, poisoned=aside)
    )


class ReplayQuery(UrlQuery, frozen=True, kw_only=True):
    """Whether the operator has looked at it, and it is to be stored whoever has put it there."""

    vouched: bool = False


@operations.define(
    *("POST", "/v1/admin/spool/{entry}/replay", "Try once more to store what was put aside"),
    caller=Caller.ADMIN,
    query=ReplayQuery,
    problems=("bus_unavailable", "conflict", "not_found"),
    answers={200: answers.EntryReplayed},
)
async def replay_entry(call: Call[ReplayQuery, None], entry: str) -> Answer:
    """As a new entry, behind all that waits. An entry that is refused again is put aside again.

    An entry `not of this cluster` is `409`, but with `vouched=true`: look at it first.
    """
    vouched = call.query.vouched
    with (
        audited(call, "spool entry replayed", entry=entry, vouched=vouched),
        _unavailable_is_503(),
    ):
        match await _spooler(call).replay(entry, vouched=vouched):
            case Replaying.DONE:
                return Answer(answers.EntryReplayed(entry=entry))
            case Replaying.ABSENT:
                raise _unknown()
            case Replaying.REFUSED:
                detail = "No node of this cluster has written it, or not all is kept."
                raise refuse("conflict", detail)
            case other:
                assert_never(other)


@operations.define(
    *("DELETE", "/v1/admin/spool/{entry}", "Discard what was put aside"),
    caller=Caller.ADMIN,
    problems=("bus_unavailable", "not_found"),
    answers={204: None},
)
async def discard_entry(call: Call[UrlQuery, None], entry: str) -> Answer:
    """For good: nothing is kept of it, so again is `404`."""
    with audited(call, "spool entry discarded", entry=entry), _unavailable_is_503():
        if not await _spooler(call).discard(entry):
            raise _unknown()
    return NO_CONTENT


def _spooler(call: Call[Any, None]) -> SpoolLine:
    if (spooler := call.services.spooler) is None:
        raise refuse("not_found", "This node has no spool: it is not part of a cluster.")
    return spooler


def _unknown() -> Refused:
    return refuse("not_found", "Nothing was put aside as this entry.")


@contextmanager
def _unavailable_is_503() -> Iterator[None]:
    try:
        yield
    except SpoolUnavailable:
        raise refuse("bus_unavailable", "The spool cannot be used now.") from None
