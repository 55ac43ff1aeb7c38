"""One SSE stream: the body of a response that lasts.

The device arrives when the response is being written, and not before: from then on whoever writes
it promises to leave the body again, however it ends. A client that hangs up cancels the writing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from tocsin.actors.delivery.messages import Arrived, Taken
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.server.attachment import arrive, leave
from tocsin.server.follow.sse_outlet import SseOutlet
from tocsin.server.services import Services

_SILENCE_MAX: Final = 24.0
"""Seconds. The contract says 25, and the client's clock starts when the last byte has arrived."""


class SseStream:
    """The events of one device, for ever; see the module."""

    def __init__(self, services: Services, user: str, outlet: SseOutlet, arrived: Arrived) -> None:
        self._services = services
        self._user = user
        self._outlet = outlet
        self._arrived = arrived
        self._patience = min(services.settings.heartbeat, _SILENCE_MAX)
        self._resuming = arrived.acknowledging is Acknowledging.RESUME

    async def __aenter__(self) -> Self:
        self._outlet.place = await self._services.attaching.enter()
        arrive(self._services, self._user, self._arrived)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        leave(self._services, self._user, self._outlet)
        self._outlet.leave_place()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk; to be asked for it means that the last one was taken by the socket."""
        self._tell_taken()
        chunk = await self._outlet.take(self._patience)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def _tell_taken(self) -> None:
        if self._resuming and (sequence := self._outlet.handed):
            # Beyond the capacity: a window that nobody empties is one that stays full.
            taken = Taken(self._outlet.connection, sequence)
            self._services.users.tell(self._user, taken, forced=True)
