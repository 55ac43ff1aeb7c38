"""The way of spans to a collector, over real sockets."""

from __future__ import annotations

import pytest

from servers.machine import free_port
from tests.system.collector_kit import CollectorServer
from tocsin.carriers.otlp import OtlpHttp
from tocsin.protocol.traceparent import NotTaken


async def test_a_body_is_posted_as_json():
    with CollectorServer() as collector:
        way = OtlpHttp(collector.url)
        await way.send(b'{"resourceSpans":[]}')
        await way.send(b'{"resourceSpans":[]}')
        await way.aclose()
    assert collector.bodies == [b'{"resourceSpans":[]}'] * 2
    assert collector.types == {"application/json"}


@pytest.mark.parametrize("status", [302, 400, 503])
async def test_a_collector_that_refuses_has_not_taken_it(status):
    with CollectorServer(status) as collector:
        way = OtlpHttp(collector.url)
        with pytest.raises(NotTaken, match=str(status)):
            await way.send(b"{}")
        await way.aclose()


async def test_an_answer_without_end_is_not_read():
    with CollectorServer(answer=b"x" * 100_000) as collector:
        way = OtlpHttp(collector.url)
        with pytest.raises(NotTaken, match="too long"):
            await way.send(b"{}")
        await way.aclose()


async def test_a_collector_that_is_not_there_has_not_taken_it():
    way = OtlpHttp(f"http://127.0.0.1:{free_port()}/v1/traces")
    with pytest.raises(NotTaken, match="ConnectError"):
        await way.send(b"{}")
    await way.aclose()
