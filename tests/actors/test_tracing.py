"""Traces: which requests have one, what a span says, and what becomes of too many spans."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tests.actors.clock_kit import pass_time, settle
from tests.actors.outlet_kit import FakeOutlet
from tests.actors.tracing_kit import (
    HEADER,
    NOW_MS,
    PARENT,
    TRACE,
    a_tracer,
    attributes_of,
    read_export,
    spans_in,
)
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.tracing.exporter import FINISH_MAX, INTERVAL, SpanExporter
from tocsin.actors.tracing.spans import Span, SpanKind, encode_spans
from tocsin.actors.tracing.traced import OPEN, TracedTiming
from tocsin.actors.tracing.tracer import BATCH, QUEUE_MAX
from tocsin.protocol.log.push import Push
from tocsin.protocol.traceparent import NotTaken, SpanContext


class Changed:
    """The name of the store's answer to a post."""


A_SPAN = Span(
    context=SpanContext("a" * 32, "b" * 16), name="publish", kind=SpanKind.SERVER, began=1, ended=2
)


def a_push(tries: int = 1) -> Push:
    return Push(
        *(1, 0, "created", 1, False, 1, 1, "n1", b"{}", NOW_MS, 0.0), tries=tries, unanswered=tries
    )


# --- Which are traced -----------------------------------------------------------------------------


async def test_a_sampled_request_goes_on_with_its_trace(autojump_clock):
    begun = a_tracer().begin(HEADER)
    assert begun is not None
    context, parent = begun
    assert (context.trace, parent) == (TRACE, PARENT)
    assert context.span != PARENT


async def test_a_request_that_its_producer_does_not_sample_is_not_traced(autojump_clock):
    assert a_tracer(every=1).begin(HEADER[:-1] + "0") is None


async def test_of_requests_without_a_trace_one_in_so_many_begins_one(autojump_clock):
    assert a_tracer(every=0, chance=0.0).begin(None) is None
    assert a_tracer(every=10, chance=0.11).begin(None) is None
    begun = a_tracer(every=10, chance=0.09).begin("nonsense")
    assert begun is not None
    assert begun[1] == ""


async def test_no_more_spans_are_made_than_the_rate_allows(autojump_clock):
    tracer = a_tracer(spans_per_second=10)
    assert sum(tracer.begin(HEADER) is not None for _ in range(100)) == 10
    assert tracer.statistics.dropped == 90
    await pass_time(0.5)
    assert sum(tracer.begin(HEADER) is not None for _ in range(100)) == 5


# --- Spans ----------------------------------------------------------------------------------------


async def test_a_post_its_transaction_and_its_delivery_are_spans_of_one_trace(autojump_clock):
    timing, phone = TracedTiming(a_tracer()), FakeOutlet("1")
    timing.store.committed(3, 0.01)
    timing.follow("n1", HEADER)
    timing.departed("n1")
    await pass_time(0.1)
    timing.pushed("n1", phone)
    timing.answered("n1", Changed(), "http")
    await pass_time(0.2)
    timing.acknowledged("n1", phone, timing.by_transport["websocket"], trio.current_time())

    publish, commit, deliver = spans_in(encode_spans(timing.tracer.take(), {}))
    assert {each.trace_id.hex() for each in (publish, commit, deliver)} == {TRACE}
    assert publish.parent_span_id.hex() == PARENT
    assert commit.parent_span_id == deliver.parent_span_id == publish.span_id
    assert [each.name for each in (publish, commit, deliver)] == ["publish", "commit", "deliver"]
    assert length(publish) == 0.1
    assert length(commit) == 0.01
    assert length(deliver) == 0.2
    assert publish.start_time_unix_nano == NOW_MS * 1_000_000 - 100_000_000
    assert attributes_of(publish) == {
        "tocsin.notification": "n1",
        "tocsin.outcome": "changed",
        "tocsin.via": "http",
    }
    assert attributes_of(commit) == {"tocsin.commands": 3}
    assert attributes_of(deliver) == {
        "tocsin.transport": "websocket",
        "tocsin.replay": False,
        "tocsin.acknowledged": True,
    }
    assert timing.pushes["local"].count == timing.requests["http"].count == 1


def length(span: ProtoSpan) -> float:
    return round((span.end_time_unix_nano - span.start_time_unix_nano) / 1e9, 6)


async def test_a_notification_that_is_not_sampled_makes_no_spans(autojump_clock):
    timing, phone = TracedTiming(a_tracer()), FakeOutlet("1")
    timing.follow("n1", None)
    timing.departed("n1")
    timing.pushed("n1", phone)
    timing.answered("n1", Changed(), "http")
    timing.acknowledged("n1", phone, timing.by_transport["websocket"], trio.current_time())
    assert timing.tracer.take() == []
    assert timing.trace_of("n1") is None
    assert timing.carried(["n1"]) is None
    assert timing.pushes["local"].exemplars == {}


async def test_a_delivery_that_is_not_acknowledged_ends_after_a_minute(autojump_clock):
    timing = TracedTiming(a_tracer())
    timing.follow("n1", HEADER)
    counted = timing.by_transport["websocket"]
    timing.sent(a_push(), FakeOutlet("1"), counted)
    timing.sent(a_push(tries=2), FakeOutlet("1"), counted)
    timing.close_old(trio.current_time())
    assert timing.tracer.take() == []
    await pass_time(OPEN)
    timing.close_old(trio.current_time())
    (span,) = timing.tracer.take()
    assert span.attributes["tocsin.acknowledged"] is False


async def test_another_node_goes_on_with_the_trace(autojump_clock):
    here, there = TracedTiming(a_tracer()), TracedTiming(a_tracer())
    context = here.follow("n1", HEADER)
    assert context is not None
    for _ in range(2):
        there.departed_elsewhere("n1", trio.current_time(), here.trace_of("n1"))
    there.pushed("n1", FakeOutlet("1"))
    there.close_old(float("inf"))
    (span,) = there.tracer.take()
    assert (span.context.trace, span.parent) == (TRACE, context.span)


async def test_a_message_to_a_webhook_is_linked_with_the_traces_that_it_is_about(autojump_clock):
    timing = TracedTiming(a_tracer(every=1, chance=0.0))
    first, second = (timing.follow(name, None) for name in ("n1", "n2"))
    assert first is not None
    assert second is not None
    carried = timing.carried(["other", "n1", "n2"])
    assert carried is not None
    carried.ended("status 500")
    (span,) = spans_in(encode_spans(timing.tracer.take(), {}))
    assert span.parent_span_id.hex() == first.span
    assert [each.span_id.hex() for each in span.links] == [second.span]
    assert span.status.message == "status 500"
    assert carried.headers == {"traceparent": f"00-{first.trace}-{span.span_id.hex()}-01"}


async def test_histograms_have_exemplars_of_what_is_traced(autojump_clock):
    timing = TracedTiming(a_tracer())
    timing.follow("n1", HEADER)
    timing.departed("n1")
    await pass_time(0.3)
    timing.pushed("n1", FakeOutlet("1"))
    ((bound, exemplar),) = timing.pushes["local"].exemplars.items()
    assert (bound, exemplar.trace, round(exemplar.value, 3)) == (0.5, TRACE, 0.3)
    assert exemplar.at == NOW_MS / 1000


# --- On their way out -----------------------------------------------------------------------------


class Collector:
    """Takes bodies, or none while it is *away*."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.tries = 0
        self.away = False

    async def take(self, body: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.tries += 1
        if self.away:
            raise NotTaken("away")
        self.bodies.append(body)


@asynccontextmanager
async def exporting(timing: TracedTiming) -> AsyncIterator[Collector]:
    collector = Collector()
    async with open_supervisor("", lambda: 0.0) as tree:
        resource = {"service.name": "tocsin"}
        tree.spawn("exporter", lambda: SpanExporter(timing, collector.take, resource))
        await settle()
        yield collector
        await tree.stop(FINISH_MAX + 1)


async def test_spans_go_out_together_and_the_last_when_the_node_stops(autojump_clock):
    timing = TracedTiming(a_tracer())
    async with exporting(timing) as collector:
        for _ in range(3):
            timing.tracer.record(A_SPAN)
        await pass_time(INTERVAL + 1)
        (body,) = collector.bodies
        assert len(spans_in(body)) == 3
        (resource,) = read_export(body).resource_spans
        assert [each.key for each in resource.resource.attributes] == ["service.name"]
        timing.tracer.record(A_SPAN)
    assert len(collector.bodies) == 2
    assert timing.tracer.statistics.exported == 4


async def test_a_full_batch_waits_for_nothing(autojump_clock):
    timing = TracedTiming(a_tracer())
    async with exporting(timing) as collector:
        for _ in range(BATCH):
            timing.tracer.record(A_SPAN)
        await settle()
        assert [len(spans_in(body)) for body in collector.bodies] == [BATCH]


async def test_a_collector_that_is_away_costs_spans_and_no_memory(autojump_clock):
    timing = TracedTiming(a_tracer())
    statistics = timing.tracer.statistics
    async with exporting(timing) as collector:
        collector.away = True
        timing.tracer.record(A_SPAN)
        await pass_time(30)
        assert (collector.tries, statistics.failed) == (2, 1)
        for _ in range(QUEUE_MAX + 7):
            timing.tracer.record(A_SPAN)
        assert statistics.dropped == 7
        collector.away = False
        await pass_time(30)
        assert statistics.exported == QUEUE_MAX
    assert dict(timing.spans()) == {"exported": QUEUE_MAX, "dropped": 7, "failed": 1}
