"""A notification's trace: from its producer through a cluster to a device, and to a webhook."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from servers.node import wait_until
from servers.otelcol import Otelcol
from servers.redis import BusServer
from servers.tokens import ADMIN, bearer, token
from tests.actors.tracing_kit import attributes_of
from tests.system.collector_kit import CollectorServer
from tests.system.receiver_kit import OPEN, Hooks, Receiver
from tests.system.server_kit import Server, fresh_user
from tests.system.test_cluster import Pair, start_pair

SPAN = "00f067aa0ba902b7"


@pytest.fixture(scope="module", params=[None, pytest.param(Otelcol, marks=pytest.mark.faults)])
def collector(request) -> Iterator[CollectorServer]:
    """A receiver of spans: at the nodes themselves, or behind OpenTelemetry's own collector, which
    has to understand them.
    """
    with CollectorServer() as collector, ExitStack() as stack:
        if request.param is not None:
            collector.front = stack.enter_context(request.param(collector.url)).traces_url
        yield collector


@pytest.fixture(scope="module")
def pair(
    collector: CollectorServer, postgres, redis_server: BusServer, tmp_path_factory
) -> Iterator[Pair]:
    """Two nodes that take their spans to *collector*."""
    servers: list[Server] = []

    def make(**settings: object) -> Server:
        traced = {"trace-url": collector.front, "access-log": "on", **OPEN}
        servers.append(Server(tmp_path_factory.mktemp("node"), {**settings, **traced}))
        return servers[-1].start()

    try:
        yield start_pair(make, postgres.create_database(), redis_server.create_database())
    finally:
        for each in servers:
            each.close()
    for each in servers:
        each.expect_no_bugs()


def a_trace() -> tuple[str, dict[str, str]]:
    """A new trace's id, and the header of a request in it."""
    trace = secrets.token_hex(16)
    return trace, {"traceparent": f"00-{trace}-{SPAN}-01"}


def test_one_trace_goes_from_the_post_over_both_nodes_to_the_webhook(pair, collector):
    first, second = pair
    ada = fresh_user()
    trace, headers = a_trace()

    def of_this(name: str, count: int = 1):
        found = [each for each in collector.spans(name) if each.trace_id.hex() == trace]
        return found if len(found) >= count else []

    with (
        Receiver() as receiver,
        first.device(ada, "phone") as here,
        second.device(ada, "web") as there,
    ):
        here.expect_synced()
        there.expect_synced()
        hook = Hooks(first).make(receiver.url)
        answer = first.producer().try_post(ada, headers=headers)
        assert answer.status_code == 201
        for device in (here, there):
            device.ack(device.expect_push())
        receiver.wait(1)
        (publish,) = wait_until(lambda: of_this("publish"), what="the span of the post")
        (commit,) = wait_until(lambda: of_this("commit"), what="the span of the transaction")
        deliveries = wait_until(lambda: of_this("deliver", 2), what="the spans of both devices")
        webhooks = wait_until(lambda: of_this("webhook"), what="the span of the webhook")
        Hooks(first).ask("DELETE", f"/{hook['id']}")

    assert publish.parent_span_id.hex() == SPAN
    children = [commit, *deliveries, *webhooks]
    assert {each.parent_span_id for each in children} == {publish.span_id}
    assert all(attributes_of(each)["tocsin.acknowledged"] for each in deliveries)
    sent = {headers["traceparent"] for _, headers, _ in receiver.asked if "traceparent" in headers}
    assert {f"00-{trace}-{each.span_id.hex()}-01" for each in webhooks} <= sent


def test_a_publish_over_a_websocket_belongs_to_the_trace_that_it_names(pair, collector):
    first, second = pair
    ada = fresh_user()
    trace, named = a_trace()
    credential = bearer(token("backend", scope="notify"))
    with second.device(ada, "web") as there, first.connect(headers=credential) as backend:
        there.expect_synced()
        backend.hello("backend")
        backend.expect_welcome()
        backend.expect_synced()
        backend.publish("r1", {"to": {"users": [ada]}, "title": "Hello"}, **named)
        there.ack(there.expect_push())

        def of_this(name: str) -> list[Span]:
            return [each for each in collector.spans(name) if each.trace_id.hex() == trace]

        (publish,) = wait_until(lambda: of_this("publish"), what="the span of the post")
        (deliver,) = wait_until(lambda: of_this("deliver"), what="the span of the delivery")
    assert publish.parent_span_id.hex() == SPAN
    assert attributes_of(publish)["tocsin.via"] == "websocket"
    assert deliver.parent_span_id == publish.span_id


def test_log_lines_about_a_traced_request_have_its_ids_and_those_of_others_have_none(pair):
    first, _ = pair
    size = first.log_size
    trace, headers = a_trace()
    producer = first.producer()
    for each in (None, headers, None):
        assert producer.try_post(fresh_user(), headers=each).status_code == 201

    def answered() -> list[str | None]:
        lines = [line for line in first.log(size) if line.get("event") == "answered"]
        return [line.get("trace_id") for line in lines if line["route"] == "/v1/notifications"]

    wait_until(lambda: len(answered()) >= 3, what="the lines")
    assert answered() == [None, trace, None]


def test_openmetrics_has_exemplars_and_the_usual_text_has_none(pair):
    first, _ = pair
    trace, headers = a_trace()
    assert first.producer().try_post(fresh_user(), headers=headers).status_code == 201

    asked = {**bearer(ADMIN), "accept": "application/openmetrics-text; version=1.0.0,*/*;q=0.1"}
    answer = first.http.get("/metrics", headers=asked)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = text_string_to_metric_families(answer.text)
    (times,) = (each for each in families if each.name == "tocsin_publish_seconds")
    traces = {sample.exemplar.labels["trace_id"] for sample in times.samples if sample.exemplar}
    assert trace in traces

    usual = first.http.get("/metrics", headers=bearer(ADMIN))
    assert usual.headers["content-type"].startswith("text/plain")
    assert trace not in usual.text
