"""A stream of server-sent events that no device stands behind: receipts, and what nodes do.

It goes on until the node stops, or until its credential ends. Both are looked at once a second, and
so is what there is to tell: operators and producers with streams are few.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

import trio

from tocsin.protocol.closing import Closing
from tocsin.server.auth.principal import Principal
from tocsin.server.follow.sse_events import COMMENT, goodbye, retry
from tocsin.server.services import Services

_SILENCE_MAX: Final = 20.0
"""Seconds of silence on a stream before a comment: less than the 25 that the contract says."""
_RETRY: Final = 2.0
"""Seconds before an EventSource comes back that heard no goodbye."""
_LOOK: Final = 1.0
"""Seconds between two looks whether the stream may go on."""


class EventStream(ABC):
    """The body of a response that lasts: chunks of events for *principal*."""

    def __init__(self, services: Services, principal: Principal) -> None:
        self._services = services
        self._principal = principal
        self._begun = self._ended = False

    @abstractmethod
    async def gather(self, seconds: float) -> bytes:
        """The events that there are, waiting for the first; nothing after *seconds*.

        Cancelling loses none of them.
        """

    async def __aenter__(self) -> Self:
        self._permit = self._services.credential_watch.enter(self._principal)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._services.credential_watch.closed(self._permit)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk; to be asked for it means that the last one was taken by the socket."""
        if self._ended:
            raise StopAsyncIteration
        if not self._begun:
            self._begun = True
            return retry(_RETRY) + COMMENT
        deadline = trio.current_time() + _SILENCE_MAX
        while trio.current_time() < deadline:
            if (last := self._last_words()) is not None:
                return last
            if chunk := await self.gather(_LOOK):
                return chunk
        return COMMENT

    def end(self, closing: Closing, detail: str = "") -> bytes:
        """The goodbye; nothing comes behind it."""
        self._ended = True
        return goodbye(closing, closing.after, detail)

    def _last_words(self) -> bytes | None:
        if self._services.readiness.stopping:
            return self.end(Closing.DRAINING)
        if self._permit.closing is not None:
            return self.end(self._permit.closing, self._permit.detail)
        return None
