"""A real Quart-Trio application, asked by httpx and by clients that no library would be."""

import inspect
from ipaddress import ip_network

import httpx
import pytest
from hypercorn.config import Config
from hypercorn.protocol.http_stream import HTTPStream
from structlog.stdlib import LoggerFactory

from tests.server.edge_kit import GET, UPGRADE, masked, open_edge, read_all, wait_until
from tests.server.http.host_kit import ENDS, post, read_response
from tocsin.server.http.limits import HttpLimits
from tocsin.settings import Settings

# ------------------------------------------------------------ ordinary traffic


async def test_requests_share_a_connection():
    async with open_edge() as edge, httpx.AsyncClient(base_url=edge.base) as client:
        for _ in range(3):
            response = await client.get("/hello")
            assert response.json() == {"ok": True}
        assert "server" not in response.headers
        assert (await client.post("/length", content=b"x" * 100_000)).json() == {"length": 100_000}
        assert edge.door.statistics().accepted == 1


async def test_pipelined_requests_are_answered_in_order():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(GET + GET + GET)
        read = b""
        while read.count(b'{"ok":true}') < 3:
            read += await client.receive_some()


async def test_a_head_that_is_repeated_is_judged_by_what_it_says_each_time():
    def named(name: bytes, length: int) -> bytes:
        return post(b"/lean", b"X-Request-Id: " + name, b"Content-Length: %d" % length)

    async with open_edge() as edge, await edge.connect() as client:
        said = (
            named(b"a", 3) + b"one" + named(b"a", 3) + b"two" + named(b"a", 10) + b"0123456789"
            + named(b"b", 3) + b"one" + named(b"a", 3) + b"two" + GET
        )  # fmt: skip
        await client.send_all(said)
        answers = await read_response(client, ENDS)
        lengths = [int(each[: each.index(b"}")]) for each in answers.split(b'{"length":')[1:]]
        assert lengths == [3, 3, 10, 3, 3]
        names = [each[:1] for each in answers.split(b"X-Request-Id: ")[1:6]]
        assert names == [b"a", b"a", b"a", b"b", b"a"]


async def test_a_repeated_head_in_pieces_and_one_that_goes_wrong_after_it():
    async with open_edge() as edge, await edge.connect() as client:
        for _ in range(2):
            for start in range(0, len(GET), 7):
                await client.send_all(GET[start : start + 7])
            await read_response(client, ENDS)
        await client.send_all(GET.replace(b"\r\n\r\n", b"\r\nBad Name: x\r\n\r\n"))
        assert (await read_all(client)).startswith(b"HTTP/1.1 400 ")


async def test_requests_without_a_name_get_different_ones():
    async with open_edge() as edge, httpx.AsyncClient(base_url=edge.base) as client:
        names = [(await client.get("/hello")).headers["X-Request-Id"] for _ in range(5)]
    assert len(set(names)) == 5
    assert all(len(name) == 16 for name in names)


async def test_an_error_of_the_application_is_an_answer_and_a_line_in_the_log(caplog):
    async with open_edge() as edge:
        assert (await edge.get("/crash")).status_code == 500
        await edge.expect_alive()
    assert "ZeroDivisionError" in caplog.text


async def test_a_large_answer_arrives_whole():
    async with open_edge() as edge:
        assert len((await edge.get("/huge")).content) == 64 << 20


async def test_a_connection_serves_so_many_requests():
    async with open_edge(limits=HttpLimits(keep_alive_requests_max=2)) as edge:
        answers = await edge.say(GET + GET + GET + GET)
        assert answers.count(b'{"ok":true}') == 2
        assert b"Connection: close" in answers


async def test_an_idle_connection_is_closed():
    async with open_edge(limits=HttpLimits(keep_alive_timeout=0.05)) as edge:
        assert (await edge.say(GET)).endswith(b'{"ok":true}\n')


# --------------------------------------------------------------- the lean lane


async def test_lean_and_other_requests_mix_on_a_connection():
    async with open_edge() as edge, httpx.AsyncClient(base_url=edge.base) as client:
        for _ in range(3):
            assert (await client.post("/lean", content=b"12345")).json() == {"length": 5}
            assert (await client.get("/hello")).json() == {"ok": True}
            assert (await client.head("/lean")).headers["content-length"] == "12"
        assert edge.door.statistics().accepted == 1


@pytest.mark.parametrize("path", [b"/lean", b"/hello"])
async def test_all_answers_have_the_same_headers(path):
    async with open_edge() as edge:
        answers = [
            await edge.say(b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path),
            await edge.say(b"GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
            await edge.say(b"GET %s HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n" % path),
        ]
    for answer in answers:
        head = answer.partition(b"\r\n\r\n")[0].lower()
        for name in (
            b"x-request-id: ",
            b"date: ",
            b"x-content-type-options: nosniff",
            b"referrer-policy: no-referrer",
            b"cross-origin-resource-policy: same-origin",
            b"cache-control: no-store",
            b"vary: origin",
            b"connection: close",
        ):
            assert name in head, answer


@pytest.mark.parametrize(
    "said",
    [
        [GET.replace(b"/hello", b"/nothing")],
        [UPGRADE.replace(b"Version: 13", b"Version: 12")],
        [post(b"/lean", b"Content-Length: +3")],
        [GET, GET, GET],
    ],
    ids=["nothing there", "no upgrade", "no length", "too many"],
)
async def test_a_refused_request_is_known_by_the_client_behind_the_proxy(said):
    settings = Settings(
        forwarded_from=(ip_network("127.0.0.1"),), peer_rate=2, rate_window=1.0, jwt_secret="x" * 32
    )
    named = b"\r\nX-Forwarded-For: 203.0.113.9\r\n"
    async with open_edge(settings=settings) as edge, await edge.connect() as client:
        for each in said:
            await client.send_all(each.replace(b"\r\n", named, 1))
        await wait_until(lambda: bool(edge.application.refused))
        assert edge.application.refused[0].address == "203.0.113.9"


async def test_a_websocket_too_many_of_a_proxys_client_is_told_so_inside():
    settings = Settings(
        forwarded_from=(ip_network("127.0.0.1"),), peer_connections_max=1, jwt_secret="x" * 32
    )
    of_one, of_another = (
        UPGRADE.replace(b"\r\n", b"\r\nX-Forwarded-For: 203.0.113.%d\r\n" % number, 1)
        for number in (1, 2)
    )
    async with open_edge(settings=settings) as edge:
        for upgrade in (of_one, of_another):
            async with await edge.connect() as client:
                await client.send_all(upgrade)
                assert (await read_response(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                for _ in range(2):
                    assert await edge.say(upgrade) == b"turned away: crowded"
            await wait_until(lambda: edge.door.statistics().open == 0)


async def test_answers_are_reported_with_status_and_duration():
    async with open_edge() as edge:
        named = [b"X-Request-Id: r%d" % number for number in range(5)]
        for path, name in zip((b"/lean", b"/length", b"/nothing"), named, strict=False):
            await edge.say(post(path, b"Connection: close", name))
        await edge.say(post(b"/lean", b"Content-Length: x", named[3]))
        await edge.say(UPGRADE[:-2] + named[4] + b"\r\n\r\n" + masked(8, b""))
        told = [(name, status) for name, status, _ in edge.application.answers]
    assert told == [("r0", 200), ("r1", 200), ("r2", 404), ("r3", 400), ("r4", 101)]
    assert all(0 <= seconds < 5 for *_, seconds in edge.application.answers)


async def test_a_bug_in_the_lean_lane_is_an_answer():
    async with open_edge() as edge:
        answer = await edge.get("/crash-lean")
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal_error"


# --------------------------------------------------------- the libraries


def test_hypercorn_has_the_parts_that_we_call():
    """`asgi_lane` stands on these."""
    assert callable(HTTPStream.handle)
    assert list(inspect.signature(HTTPStream.__init__).parameters)[1:] == [
        "app", "config", "context", "task_group", "ssl", "client", "server", "send", "stream_id",
    ]  # fmt: skip


async def test_hypercorn_logs_through_the_logger_that_it_is_given():
    config = Config()
    config.errorlog = LoggerFactory()("tests.given")
    assert config.log.error_logger is config.errorlog
