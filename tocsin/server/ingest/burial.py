"""Where a connector's dead messages go: the store, or first a place at their own broker.

With a place, the store keeps a line without the body, as one that is settled. It is there so that a
refusal is answered once, and that an operator finds the message by its place. The line is written
behind the broker's confirmation, and in front of the word that the message is done: a node that
dies in between moves the message once more, with the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import trio

from tocsin.persistence.sink import KeptSink, SinkMessage
from tocsin.persistence.source import BrokerMessage, SourceAway, SourceRefused
from tocsin.persistence.store.ingest_commands import BuryMessages, IngestLetter
from tocsin.protocol.problems import Problem
from tocsin.server.connector_status import ConnectorTerms
from tocsin.server.services import Services

_LETTERS_AT_ONCE: Final = 64
"""Letters of one command: each may have 64 KiB."""
_BYTES_AT_ONCE: Final = 128 * 1024
"""Bytes of bodies that are moved at once: a request of SQS takes 256 KiB, with all else in it."""
_REASON_MAX: Final = 500
"""Characters of the reason in a header."""


class Dead(NamedTuple):
    """A message that can never be stored, and its letter."""

    taken: BrokerMessage
    letter: IngestLetter


class Burial:
    """Buries what a connector cannot have stored; made by `open_burial`."""

    def __init__(self, services: Services, mover: _Mover | None) -> None:
        self._services = services
        self._mover = mover

    async def bury(self, dead: Sequence[Dead]) -> int:
        """Bury some of *dead*, which are not none; how many of the first of them.

        Raises `Refused`, `SourceAway` and `SourceRefused`. Cancelled, some may have been.
        """
        if self._mover is None:
            some = dead[:_LETTERS_AT_ONCE]
            await self._services.write(BuryMessages(tuple([each.letter for each in some])))
            return len(some)
        some = list(_as_many_as_fit(dead[:_LETTERS_AT_ONCE]))
        await self._mover.move([_moved(each) for each in some])
        lines = [msgspec.structs.replace(each.letter, body="", cut=True) for each in some]
        await self._services.write(BuryMessages(tuple(lines), moved=True))
        return len(some)


@asynccontextmanager
async def open_burial(terms: ConnectorTerms, services: Services) -> AsyncIterator[Burial]:
    """The burial of the connector of *terms*; nothing is connected before it is needed.

    Left or cancelled, it closes its connection; a message that was being moved may be at its place.
    """
    if terms.dead_letters is None:
        yield Burial(services, None)
        return
    mover = _Mover(KeptSink(terms.dead_letters))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mover.run)
        yield Burial(services, mover)
        nursery.cancel_scope.cancel()


class _Mover:
    """A task of its own for the connection to *place*. The asyncio loop of such a connection is the
    current one in the task that opens it, and the connector's task has that of its source.
    """

    def __init__(self, place: KeptSink) -> None:
        self._place = place
        self._given, self._taken = trio.open_memory_channel[_Errand](0)

    async def run(self) -> None:
        async with aclosing(self._place):
            async for errand in self._taken:
                try:
                    await self._place.carry(errand.batch)
                except (SourceAway, SourceRefused) as error:
                    errand.failure = error
                errand.done.set()

    async def move(self, batch: Sequence[SinkMessage]) -> None:
        errand = _Errand(batch)
        await self._given.send(errand)
        await errand.done.wait()
        if errand.failure is not None:
            raise errand.failure


@dataclass(slots=True)
class _Errand:
    batch: Sequence[SinkMessage]
    done: trio.Event = field(default_factory=trio.Event)
    failure: SourceAway | SourceRefused | None = None


def _as_many_as_fit(dead: Sequence[Dead]) -> Iterator[Dead]:
    """The first of *dead*, and the next ones as far as their bodies are few bytes together."""
    size = 0
    for index, each in enumerate(dead):
        size += len(each.taken.body)
        if index and size > _BYTES_AT_ONCE:
            return
        yield each


def _moved(dead: Dead) -> SinkMessage:
    """The message for the broker: as it was taken, with the reason in front of its headers.

    A body that no broker need take is cut, and the header says how long it was. The id is the same
    each time.
    """
    taken, letter = dead
    problem = msgspec.json.decode(letter.problem, type=Problem)
    reason = f"{problem.title}: {problem.detail}"
    headers = {
        "tocsin-problem": problem.code,
        "tocsin-reason": " ".join(reason.split())[:_REASON_MAX],
        "tocsin-place": letter.place,
    }
    if (size := len(taken.body)) > _BYTES_AT_ONCE:
        headers["tocsin-cut"] = str(size)
    if letter.correlation:
        headers["correlation-id"] = letter.correlation
    return SinkMessage(
        id=hashlib.sha256(f"{letter.connector} {letter.place}".encode()).hexdigest(),
        kind="dead",
        key=letter.connector,
        body=taken.body[:_BYTES_AT_ONCE],
        headers=headers
        | {name: text for name, text in letter.headers.items() if name not in headers},
        content_type="application/octet-stream",
    )
