"""The acts of all nodes, as a stream of events for an operator.

The stream ends with its credential: when that expires, or within some seconds of a key's
revocation, which the stream looks up itself, since no device stands behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import trio

from tocsin.actors.spectators import Spectator
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import FindKey
from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.sightings import Sighted
from tocsin.protocol.values import to_rfc3339
from tocsin.server.attachment import expiry_ms
from tocsin.server.auth.principal import Principal
from tocsin.server.follow.sse_events import COMMENT, event, goodbye, retry
from tocsin.server.services import Services

_SILENCE_MAX: Final = 20.0
"""Seconds of silence before a comment: a node that tells nothing each second is in trouble."""
_RETRY: Final = 2.0
"""Seconds before a client comes back that heard no goodbye."""
_KEY_CHECK: Final = 3.0
"""Seconds between two looks whether the API key is still good, as for devices."""
_KEY: Final = "key:"


class SpectatorStream:
    """The events of one spectator, until the node stops or the credential ends. Entering raises
    `Refused` where there are too many."""

    def __init__(self, services: Services, principal: Principal, user: str | None) -> None:
        self._services = services
        self._credential = principal.credential
        self._expires_at = expiry_ms(principal)
        self._user = user
        self._spectator: Spectator | None = None
        self._number = 0
        self._checked_at = 0.0
        self._begun = self._ended = False

    async def __aenter__(self) -> Self:
        entered = self._services.timing.spectators.enter(self._user)
        if entered is None:
            raise refuse("overloaded", "There are too many streams of events on this node.")
        self._number, self._spectator = entered
        self._checked_at = trio.current_time()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._services.timing.spectators.leave(self._number)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk; to be asked for it means that the last one was taken by the socket."""
        if self._ended:
            raise StopAsyncIteration
        if not self._begun:
            self._begun = True
            return retry(_RETRY) + COMMENT
        assert self._spectator is not None, "the spectator has entered"
        deadline = trio.current_time() + _SILENCE_MAX
        while trio.current_time() < deadline:
            if (closing := await self._end()) is not None:
                self._ended = True
                return goodbye(closing, closing.after)
            if told := await self._spectator.wait(1.0):
                return self._events(self._spectator, told)
        return COMMENT

    async def _end(self) -> Closing | None:
        services = self._services
        if services.readiness.stopping:
            return Closing.DRAINING
        if self._expires_at is not None and services.world.now_ms() >= self._expires_at:
            return Closing.UNAUTHENTICATED
        return Closing.UNAUTHENTICATED if await self._is_revoked() else None

    async def _is_revoked(self) -> bool:
        now = trio.current_time()
        if not self._credential.startswith(_KEY) or now < self._checked_at + _KEY_CHECK:
            return False
        self._checked_at = now
        try:
            found = await self._services.read(FindKey(self._credential.removeprefix(_KEY)))
        except Refused:
            return False  # the store is away: it is looked up the next time
        return isinstance(found, NotFound) or found.revoked_at is not None

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
