"""Timing that also makes spans, where `trace_url` names a collector.

    publish     a node takes a post, until the answer; child of the producer's span
      commit    the transaction that made it durable
      deliver   a push to one device, from the handing over to the acknowledgment, or a minute
      webhook   receipts on their way to a webhook; of several traces, with links

Other nodes learn of the trace from the envelope of the change. Users, devices and contents are in
no span: a trace is read by more people than a log of deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import trio

from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.delivery.timing import CarriedSpan, Timing, TransportStatistics, Via
from tocsin.actors.health import StorageStatistics
from tocsin.actors.runtime.histogram import Histogram
from tocsin.actors.tracing.spans import Span, SpanKind
from tocsin.actors.tracing.tracer import Tracer
from tocsin.protocol.log.push import Push
from tocsin.protocol.traceparent import SpanContext, read_traceparent

TRACES_MAX: Final = 5000
"""Traces in a generation; two are kept."""
OPEN_MAX: Final = 10_000
"""Deliveries that wait for their acknowledgment; further ones have no span."""
OPEN: Final = 60.0
"""Seconds after which a delivery's span ends without an acknowledgment."""
LINKS_MAX: Final = 32
"""Traces that a span of several is linked with."""


class _Trace(NamedTuple):
    context: SpanContext
    parent: str
    began: float


class _OpenDelivery(NamedTuple):
    context: SpanContext
    parent: str
    began: float
    transport: str
    replay: bool


class TracedTiming(Timing):
    """See the module. *store* has the figures of the last transaction."""

    __slots__ = ("_earlier_traces", "_open", "_traces", "store", "tracer")

    is_tracing = True

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer: Final = tracer
        self.store = StorageStatistics()
        self._traces: dict[str, _Trace] = {}
        self._earlier_traces: dict[str, _Trace] = {}
        self._open: dict[tuple[str, str], _OpenDelivery] = {}

    # --- Traces ----------------------------------------------------------------------------------

    def follow(self, notification: str, traceparent: str | None) -> SpanContext | None:
        """Trace *notification*, if the request with that header is sampled."""
        if (begun := self.tracer.begin(traceparent)) is None:
            return None
        context, parent = begun
        self._keep(notification, _Trace(context, parent, trio.current_time()))
        return context

    def trace_of(self, notification: str) -> str | None:
        """The `traceparent` that other nodes are told of."""
        trace = self._find(notification)
        return None if trace is None else str(trace.context)

    def departed_elsewhere(self, notification: str, at: float, trace: str | None = None) -> None:
        """As `Timing`; a *trace* that the other node has begun goes on here."""
        super().departed_elsewhere(notification, at)
        if trace is None or self._find(notification) is not None:
            return
        if (context := read_traceparent(trace)) is not None:
            self._keep(notification, _Trace(context, "", at))

    def _find(self, notification: str) -> _Trace | None:
        return self._traces.get(notification) or self._earlier_traces.get(notification)

    def _keep(self, notification: str, trace: _Trace) -> None:
        self._traces[notification] = trace
        if len(self._traces) >= TRACES_MAX:
            self._earlier_traces, self._traces = self._traces, {}

    # --- Posts and deliveries --------------------------------------------------------------------

    def answered(self, notification: str, result: object, via: Via) -> None:
        """As `Timing`; ends the span of the post, and makes that of its transaction."""
        super().answered(notification, result, via)
        if (trace := self._find(notification)) is None:
            return
        now, outcome = trio.current_time(), type(result).__name__.lower()
        self._exemplify(self.requests[via], trace.context, now - trace.began)
        self._record(
            trace.context, trace.parent, "publish", SpanKind.SERVER, trace.began, now,
            {"tocsin.notification": notification, "tocsin.outcome": outcome, "tocsin.via": via},
        )  # fmt: skip
        if outcome == "changed" and self.tracer.has_room():
            store, context = self.store, self.tracer.child(trace.context.trace)
            self._record(
                context, trace.context.span, "commit", SpanKind.CLIENT, now - store.last, now,
                {"tocsin.commands": store.last_commands},
            )  # fmt: skip

    def pushed(self, notification: str, outlet: Outlet) -> None:
        """As `Timing`; begins the span of a delivery."""
        super().pushed(notification, outlet)
        if (trace := self._find(notification)) is not None:
            departure = self.find(notification)
            if departure is not None:
                now = trio.current_time()
                self._exemplify(departure.spread, trace.context, now - departure.at)
            self._deliver(notification, outlet, trace, replay=False)

    def sent(self, push: Push, outlet: Outlet, counted: TransportStatistics) -> None:
        """As `Timing`; begins the span of a delivery, at the first attempt."""
        super().sent(push, outlet, counted)
        if push.tries == 1 and (trace := self._find(push.notification_id)) is not None:
            self._deliver(push.notification_id, outlet, trace, replay=push.replay)

    def acknowledged(
        self, notification: str, outlet: Outlet, counted: TransportStatistics, now: float
    ) -> None:
        """As `Timing`; ends the span of the delivery."""
        super().acknowledged(notification, outlet, counted, now)
        opened = self._open.pop((notification, outlet.connection), None)
        if opened is not None:
            self._close(opened, trio.current_time(), acknowledged=True)

    def spans(self) -> Iterable[tuple[str, int]]:
        """As `Timing`."""
        counted = self.tracer.statistics
        yield "exported", counted.exported
        yield "dropped", counted.dropped
        yield "failed", counted.failed

    def carried(self, notifications: Sequence[str]) -> CarriedSpan | None:
        """The span of a webhook's message about *notifications*, if one of them is traced."""
        found = [trace for each in notifications if (trace := self._find(each)) is not None]
        if not found or not self.tracer.has_room():
            return None
        return WebhookSpan(self.tracer, [each.context for each in found[:LINKS_MAX]])

    def close_old(self, now: float) -> None:
        """End the spans of deliveries that have waited too long, up to *now* (Trio time)."""
        ended = min(now, trio.current_time())
        while self._open:
            key = next(iter(self._open))  # the oldest: they stand in the order of their beginning
            if self._open[key].began > now - OPEN:
                return
            self._close(self._open.pop(key), ended, acknowledged=False)

    # --- Inside ----------------------------------------------------------------------------------

    def _deliver(self, notification: str, outlet: Outlet, trace: _Trace, *, replay: bool) -> None:
        if len(self._open) >= OPEN_MAX or not self.tracer.has_room():
            return
        context, now = self.tracer.child(trace.context.trace), trio.current_time()
        self._open.setdefault(
            (notification, outlet.connection),
            _OpenDelivery(context, trace.context.span, now, outlet.transport, replay),
        )

    def _close(self, opened: _OpenDelivery, ended: float, *, acknowledged: bool) -> None:
        self._record(
            opened.context, opened.parent, "deliver", SpanKind.PRODUCER, opened.began, ended,
            {
                "tocsin.transport": opened.transport,
                "tocsin.replay": opened.replay,
                "tocsin.acknowledged": acknowledged,
            },
        )  # fmt: skip

    def _record(
        self,
        context: SpanContext,
        parent: str,
        name: str,
        kind: SpanKind,
        began: float,
        ended: float,
        attributes: dict[str, str | int | float | bool],
    ) -> None:
        wall = self.tracer.wall
        span = Span(
            context=context, parent=parent, name=name, kind=kind,
            began=wall(began), ended=wall(ended), attributes=attributes,
        )  # fmt: skip
        self.tracer.record(span)

    def _exemplify(self, spread: Histogram, context: SpanContext, value: float) -> None:
        wall = self.tracer.wall(trio.current_time()) / 1e9
        spread.exemplify(value, context.trace, wall)


class WebhookSpan(CarriedSpan):
    """A message on its way to a webhook: part of the one trace, or linked with several."""

    def __init__(self, tracer: Tracer, traced: Sequence[SpanContext]) -> None:
        self._tracer = tracer
        self._traced = traced
        self._began = trio.current_time()
        self._context = tracer.child(traced[0].trace)
        self.headers = {"traceparent": str(self._context)}

    def ended(self, failed: str | None) -> None:
        """The message was taken, or why it was not."""
        tracer, first = self._tracer, self._traced[0]
        tracer.record(
            Span(
                context=self._context, parent=first.span, name="webhook", kind=SpanKind.CLIENT,
                began=tracer.wall(self._began), ended=tracer.wall(trio.current_time()),
                links=self._traced[1:], failed=failed,
            )
        )  # fmt: skip
