"""The acts of all nodes, as a stream of events for an operator."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from tocsin.actors.spectators import Spectator
from tocsin.protocol.cluster.sightings import Sighted
from tocsin.protocol.refusal import refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.auth.principal import Principal
from tocsin.server.follow.event_stream import EventStream
from tocsin.server.follow.sse_events import event
from tocsin.server.services import Services


class SpectatorStream(EventStream):
    """The events of one spectator, of *user* alone if there is one. Entering raises `Refused` where
    there are too many."""

    def __init__(self, services: Services, principal: Principal, user: str | None) -> None:
        super().__init__(services, principal)
        self._user = user

    async def __aenter__(self) -> Self:
        entered = self._services.timing.spectators.enter(self._user)
        if entered is None:
            raise refuse("overloaded", "There are too many streams of events on this node.")
        self._number, self._spectator = entered
        return await super().__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await super().__aexit__(exc_type, exc_value, tb)
        self._services.timing.spectators.leave(self._number)

    async def gather(self, seconds: float) -> bytes:
        """The sightings that nodes told meanwhile, as events; cancelling loses none."""
        told = await self._spectator.wait(seconds)
        return self._events(self._spectator, told) if told else b""

    def _events(self, spectator: Spectator, told: list[tuple[str, Sighted]]) -> bytes:
        chunks = [event("second", msgspec.json.encode(second_of(*each))) for each in told]
        if spectator.missed:
            missed, spectator.missed = spectator.missed, 0
            chunks.append(event("missed", msgspec.json.encode({"seconds": missed})))
        return b"".join(chunks)


def second_of(node: str, sighted: Sighted) -> Mapping[str, Any]:
    """The account of a second by *node*, as it goes over the wire."""
    return {
        "node": node,
        "at": to_rfc3339(sighted.at),
        "counts": sighted.counts,
        "events": [
            {
                "at": to_rfc3339(each.at),
                "kind": each.kind,
                "notification": each.notification,
                "user": each.user,
                "device": each.device,
                "detail": each.detail,
            }
            for each in sighted.sightings
        ],
        "sample": sighted.sample,
    }
