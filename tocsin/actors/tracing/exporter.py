"""The actor that takes spans to the collector, a batch at a time.

A batch that the collector does not take is tried once more after a pause, and then dropped: traces
are worth no memory that deliveries need.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
import trio

from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.tracing.spans import Attribute, encode_spans
from tocsin.actors.tracing.traced import TracedTiming
from tocsin.actors.tracing.tracer import Tracer
from tocsin.protocol.traceparent import NotTaken

logger = structlog.get_logger(__name__)

INTERVAL: Final = 2.0
"""Seconds for which a span waits for others."""
RETRY_DELAY: Final = 5.0
"""Seconds after which a batch is tried once more."""
FINISH_MAX: Final = 3.0
"""Seconds for the last batches, when the node stops."""

Send = Callable[[bytes], Awaitable[None]]
"""Takes a body to the collector; raises `NotTaken`."""


class SpanExporter(TableWorker):
    """Exports the spans of *timing* by *send*; *resource* describes this node."""

    def __init__(self, timing: TracedTiming, send: Send, resource: Mapping[str, Attribute]) -> None:
        self._timing = timing
        self._tracer: Tracer = timing.tracer
        self._send = send
        self._resource = resource
        self._is_away = False

    def tasks(self) -> Tasks:
        """The one task."""
        return (self._export_all,)

    async def finish(self) -> None:
        """Export what is left, for `FINISH_MAX` seconds at most."""
        self._timing.close_old(float("inf"))
        with trio.move_on_after(FINISH_MAX):
            while await self._export(last=True):
                pass

    async def _export_all(self) -> None:
        while True:
            await self._tracer.bell.wait(trio.current_time() + INTERVAL)
            self._timing.close_old(trio.current_time())
            while await self._export():
                pass

    async def _export(self, *, last: bool = False) -> bool:
        """Export one batch; whether there was one."""
        batch = self._tracer.take()
        if not batch:
            return False
        body = encode_spans(batch, self._resource)
        statistics = self._tracer.statistics
        try:
            try:
                await self._send(body)
            except NotTaken:
                if last:
                    raise
                await trio.sleep(RETRY_DELAY)
                await self._send(body)
        except NotTaken as error:
            statistics.failed += len(batch)
            if not self._is_away:
                logger.warning("spans are not taken", error=str(error))
            self._is_away = True
        else:
            statistics.exported += len(batch)
            if self._is_away:
                logger.info("spans are taken again")
            self._is_away = False
        return True
