"""A client that waits for an answer that lasts: what it says meanwhile, and that it has gone.

A poll may wait for a minute and a stream for ever, and what would show that nobody waits for them
is the end of the connection. Its bytes are kept for the next request; its end cancels the block.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

import trio

from tocsin.server.http.wire import PeerGone, Wire

KEPT_MAX: Final = 16384
"""Bytes kept of what a client says while it waits. One that says more wants no answer, and with its
bytes unread its end would go unseen."""


class ClientWatch:
    """A context manager whose block is cancelled when the client has gone, and which then raises
    `PeerGone`.

    A client that closes its half is waited for, *gone_grace* seconds: long enough for what is
    answered at once. One whose connection breaks is not.
    """

    __slots__ = ("_gone_grace", "_scope", "_wire")

    def __init__(self, wire: Wire, gone_grace: float) -> None:
        self._wire = wire
        self._gone_grace = gone_grace
        self._scope = trio.CancelScope()

    def __enter__(self) -> Self:
        wire = self._wire
        if wire.heard_end:
            self._ended()
        elif len(wire.data) >= KEPT_MAX:
            self._scope.cancel()
        else:
            wire.watch(self._ready)
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wire.end_watch()
        self._scope.__exit__(kind, error, trace)
        if self._scope.cancelled_caught:
            raise PeerGone

    def _ready(self) -> None:
        wire = self._wire
        data = wire.read_now(KEPT_MAX - len(wire.data))
        if data is None:
            return  # it was there, they said
        wire.data += data
        if wire.heard_end:
            wire.end_watch()
            self._ended()
        elif len(wire.data) >= KEPT_MAX:
            wire.end_watch()
            self._scope.cancel()

    def _ended(self) -> None:
        if self._wire.broken:
            self._scope.cancel()
        else:
            self._scope.deadline = trio.current_time() + self._gone_grace
