"""Which requests are traced, and the spans that wait to be exported. A table, without a task.

A request whose `traceparent` is sampled is traced, because its trace would have a hole otherwise;
of the others, a share. Both only up to a number of spans a second: any producer can set a flag, and
a notification to a thousand devices is a thousand spans. A span beyond the room is dropped, and
counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.actors.tracing.spans import Span
from tocsin.actors.world import World
from tocsin.protocol.traceparent import SpanContext, read_traceparent

QUEUE_MAX: Final = 4096
"""Spans that wait for the collector: some MiB, and 20 s at the default rate."""
BATCH: Final = 512
"""Spans in one request, and how many wake the exporter before its time."""


@dataclass(slots=True)
class TracingStatistics:
    """Spans since the node's start: *exported*, *dropped* for want of room, *failed* to export."""

    exported: int = 0
    dropped: int = 0
    failed: int = 0


class Tracer:
    """See the module. Of requests without a trace, one in *every* begins one; 0 for none."""

    def __init__(self, world: World, *, every: int, spans_per_second: int) -> None:
        self._world = world
        self._every = every
        self._rate = spans_per_second
        self._room = float(spans_per_second)
        self._filled_at = -1.0
        self._wall_ns = 0
        self._waiting: deque[Span] = deque()
        self.statistics: Final = TracingStatistics()
        self.bell: Final = Bell()
        """Rings when a whole batch waits."""

    # --- Making spans ----------------------------------------------------------------------------

    def begin(self, traceparent: str | None) -> tuple[SpanContext, str] | None:
        """The span for a request with that header, and its parent's id; `None`: not traced."""
        parent = read_traceparent(traceparent)
        if parent is None:
            if not self._every or self._world.random() * self._every >= 1.0:
                return None
        elif not parent.sampled:
            return None
        if not self.has_room():
            return None
        trace = self._world.entropy(16).hex() if parent is None else parent.trace
        return self.child(trace), "" if parent is None else parent.span

    def child(self, trace: str) -> SpanContext:
        """A new span of *trace*."""
        return SpanContext(trace, self._world.entropy(8).hex())

    def has_room(self) -> bool:
        """Take the room of one span, if this second has it; else count it as dropped."""
        now = trio.current_time()
        if self._filled_at < 0.0:
            self._filled_at = now
        self._room = min(self._rate, self._room + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._room < 1.0:
            self.statistics.dropped += 1
            return False
        self._room -= 1.0
        return True

    def wall(self, time: float) -> int:
        """*time* (Trio's) in Unix nanoseconds, to the millisecond of the wall's clock."""
        if not self._wall_ns:
            # Once: a clock that is set while spans are open would turn them around.
            self._wall_ns = self._world.now_ms() * 1_000_000 - round(trio.current_time() * 1e9)
        return self._wall_ns + round(time * 1e9)

    # --- The queue -------------------------------------------------------------------------------

    def record(self, span: Span) -> None:
        """Have *span* exported, if there is room for it."""
        if len(self._waiting) >= QUEUE_MAX:
            self.statistics.dropped += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH:
            self.bell.ring()

    def take(self) -> list[Span]:
        """The next batch; none if nothing waits."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
