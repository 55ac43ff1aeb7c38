"""Bodies of requests: declared, in chunks, too large, broken, or not read."""

import httpx
import pytest

from tests.server.edge_kit import GET, open_edge, wait_until
from tests.server.http.host_kit import open_strict_edge, post, read_response
from tocsin.server.http.limits import HttpLimits


@pytest.mark.parametrize("size", [100_001, 5_000_000])
async def test_a_declared_body_that_is_too_large_is_refused(size):
    async with (
        open_strict_edge() as edge,
        httpx.AsyncClient(base_url=edge.base) as client,
    ):
        response = await client.post("/length", content=bytes(size))
        assert response.status_code == 413
        assert response.json()["code"] == "too_large"


async def test_a_chunked_body_that_grows_too_large_is_refused():
    async def chunks():
        for _ in range(20):
            yield bytes(10_000)

    async with (
        open_strict_edge() as edge,
        httpx.AsyncClient(base_url=edge.base) as client,
    ):
        assert (await client.post("/length", content=chunks())).status_code == 413
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0


async def test_a_chunked_body_within_the_limit_passes():
    async def chunks():
        for _ in range(10):
            yield bytes(10_000)

    async with (
        open_strict_edge() as edge,
        httpx.AsyncClient(base_url=edge.base) as client,
    ):
        assert (await client.post("/length", content=chunks())).json() == {"length": 100_000}


async def test_an_answer_before_the_end_of_the_body_arrives():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(post(b"/refuse", b"Content-Length: 900000") + bytes(500_000))
        answer = await read_response(client, b"not you")
        assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_body_that_does_not_come_is_not_awaited_for_ever():
    limits = HttpLimits(body_timeout=0.1, linger_timeout=0.05)
    async with open_edge(limits=limits) as edge:
        answer = await edge.say(post(b"/length", b"Content-Length: 10"), b"12345")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"problem+json" in answer
        assert b"X-Request-Id: " in answer
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0


async def test_a_body_that_breaks_its_chunks_gets_a_problem():
    async with open_strict_edge() as edge:
        answer = await edge.say(post(b"/length", b"Transfer-Encoding: chunked"), b"xyz\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 4") == 1
        assert edge.door.statistics().failures == 0


async def test_a_client_is_told_to_go_on_with_its_body():
    async with open_edge() as edge, await edge.connect() as client:
        for path, ending in ((b"/lean", b'{"length":3}'), (b"/length", b'{"length":3}\n')):
            await client.send_all(post(path, b"Content-Length: 3", b"Expect: 100-continue"))
            assert await read_response(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send_all(b"abc")
            await read_response(client, ending)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Content-Length: 3", b"Content-Length: 3"], 400),
        ([b"Content-Length: 3", b"Transfer-Encoding: chunked"], 400),
        ([b"Content-Length: 0x3"], 400),
        ([b"Content-Length: +3"], 400),
        ([b"Content-Length: " + b"9" * 30], 400),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Content-Length: 3", b"Content-Encoding: gzip"], 415),
        ([b"Content-Length: 3", b"Expect: magic"], 417),
        ([b"Content-Length: 100001"], 413),
    ],
)
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "later"])
@pytest.mark.parametrize("path", [b"/lean", b"/length"])
async def test_a_body_that_is_not_read_is_refused_on_any_request(before, path, lines, status):
    async with open_strict_edge() as edge:
        answer = (await edge.say(before + post(path, *lines) + b"abc")).removeprefix(b"")
        assert b"HTTP/1.1 %d " % status in answer
        assert b"Connection: close" in answer
        assert answer.count(b"HTTP/1.1 ") == (2 if before else 1)


async def test_a_lasting_request_may_have_a_chunked_body():
    async with open_edge() as edge, await edge.connect() as client:
        lines = post(b"/slow-lasting", b"Transfer-Encoding: chunked").replace(b"POST", b"GET")
        await client.send_all(lines + b"2\r\n{}\r\n0\r\n\r\n")
        await edge.slow_entered.wait()
        edge.slow_may_end.set()
        assert (await read_response(client, b"done")).startswith(b"HTTP/1.1 200 ")
