"""A real Quart-Trio application, asked by httpx and by clients that no library would be."""

import inspect
import os
import socket
import time
from collections import Counter
from functools import partial
from ipaddress import ip_network

import httpx
import pytest
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.protocol.http_stream import HTTPStream
from quart_trio import QuartTrio
from structlog.stdlib import LoggerFactory

from tests.server.edge import (
    GET,
    UPGRADE,
    UPGRADE_LINES,
    EdgeApplication,
    masked,
    open_edge,
    read_all,
    wait_until,
)
from tocsin.server.http.host import HttpHost
from tocsin.server.http.lifespan import LifespanFailed
from tocsin.server.http.limits import HttpLimits
from tocsin.settings import Settings

open_strict_edge = partial(
    open_edge, limits=HttpLimits(write_timeout=0.2, linger_timeout=0.3), body_bytes_max=100_000
)
ENDS = b'{"ok":true}\n'


H2C_LINES = (
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
)


def post(path: bytes, *lines: bytes) -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: h\r\n" % path
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


async def read_response(client: trio.SocketStream, ending: bytes) -> bytes:
    read = b""
    while not read.endswith(ending):
        data = await client.receive_some()
        assert data, read
        read += data
    return read


async def stalled_reader(edge, path=b"/huge") -> trio.SocketStream:
    """A client that asks for much and reads nothing."""
    raw = trio.socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await raw.connect(("127.0.0.1", edge.port))
    client = trio.SocketStream(raw)
    await client.send_all(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path)
    return client


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


# ------------------------------------------------------------------ upgrades


@pytest.mark.parametrize("behind", [b"", masked(1, b"hello")], ids=["", "frame"])
@pytest.mark.parametrize(
    "connection", [b"Upgrade", b"keep-alive, Upgrade", b"upgrade,keep-alive,"], ids=str
)
async def test_any_request_of_a_connection_may_be_an_upgrade(behind, connection):
    upgrade = UPGRADE.replace(b"Connection: Upgrade", b"Connection: " + connection)
    async with open_edge() as edge, await edge.connect() as client:
        for _ in range(2):
            await client.send_all(GET)
            await read_response(client, ENDS)
        await client.send_all(upgrade + behind)
        answer = await read_response(client, b"\x81\x05hello" if behind else b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        await client.send_all(masked(1, b"again"))
        await read_response(client, b"again")
        assert edge.door.statistics().failures == 0


async def test_an_upgrade_may_be_pipelined_behind_a_request():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(GET + UPGRADE + masked(1, b"hello"))
        answer = await read_response(client, b"\x81\x05hello")
        assert answer.index(b'{"ok":true}') < answer.index(b"HTTP/1.1 101 ")


async def test_an_upgrade_that_is_refused_leaves_the_connection_open():
    evil = UPGRADE.replace(b"Host: h", b"Host: h\r\nOrigin: https://evil.example")
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(evil + GET)
        answer = await read_response(client, ENDS)
        assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /hello HTTP/1.1\r\nHost: h\r\n" + H2C_LINES + b"\r\n",
        b"GET /hello HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
        b"HEAD /hello HTTP/1.1\r\nHost: h\r\n" + UPGRADE_LINES + b"\r\n",
    ],
    ids=["h2c", "no connection field", "HEAD"],
)
async def test_other_upgrades_are_ignored(request_):
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(request_)
        assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_the_preface_of_http2_as_second_request_is_refused():
    async with open_edge() as edge:
        answer = await edge.say(GET + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b'{"ok":true}' in answer
        assert b"HTTP/1.1 505 " in answer or b"HTTP/1.1 400 " in answer
        await edge.expect_alive()


async def test_a_host_that_is_not_ascii_in_a_second_request_is_refused():
    async with open_edge() as edge:
        answer = await edge.say(GET + b"GET /hello HTTP/1.1\r\nHost: \xe9\r\n\r\n")
        assert b"HTTP/1.1 400 " in answer
        assert edge.door.statistics().failures == 0


@pytest.mark.parametrize("garbage", [b"\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\nX y\r\n\r\n"])
async def test_garbage_as_second_request_gets_a_problem(garbage):
    async with open_edge() as edge:
        answer = await edge.say(GET + garbage)
        assert b"HTTP/1.1 400 " in answer
        assert b"application/problem+json" in answer.partition(b"HTTP/1.1 400 ")[2]


# -------------------------------------------------------------------- bodies


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


# ------------------------------------------------------------- hostile readers


@pytest.mark.parametrize("path", [b"/huge", b"/endless"])
async def test_a_client_that_never_reads_is_let_go(path):
    async with (
        open_strict_edge() as edge,
        await stalled_reader(edge, path),
    ):
        await wait_until(lambda: edge.host.connection_count == 1)
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0
        await edge.expect_alive()


async def test_a_client_that_resets_in_the_middle_is_no_failure():
    async with open_edge() as edge:
        for _ in range(5):
            client = await stalled_reader(edge, b"/endless")
            await client.receive_some(1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await client.aclose()
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0


async def test_a_client_that_goes_with_a_request_pipelined_leaves_nothing_behind():
    async with open_edge() as edge:
        for _ in range(10):
            client = await edge.connect()
            await client.send_all(GET + GET + b"x")
            await client.receive_some(30)
            await client.aclose()
        await wait_until(lambda: edge.door.statistics().open == 0)
        assert edge.door.statistics().failures == 0


# ------------------------------------------------------------------ half-close


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        post(b"/lean", b"Content-Length: 5") + b"hello",
        post(b"/length", b"Content-Length: 5") + b"hello",
        GET + GET,
    ],
    ids=["Quart", "lean", "body", "two"],
)
async def test_who_closes_its_half_is_answered_whole(request_):
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(request_)
        await client.send_eof()
        answer = await read_all(client)
        assert answer.count(b"HTTP/1.1 200 ") == request_.count(b"HTTP/1.1")
        await wait_until(lambda: edge.host.connection_count == 0)


async def test_who_closes_its_half_is_waited_for_by_a_slow_answer():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.send_eof()
        await edge.slow_entered.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        edge.slow_may_end.set()
        assert (await read_all(client)).endswith(b"done")


async def test_who_has_gone_ends_what_lasts():
    limits = HttpLimits(gone_grace=0.05)
    async with open_edge(limits=limits) as edge:
        client = await edge.connect()
        await client.send_all(b"GET /slow-lasting HTTP/1.1\r\nHost: h\r\n\r\n")
        await edge.slow_entered.wait()
        await client.aclose()
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0


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
async def test_who_is_refused_is_known_as_the_client_behind_the_proxy(said):
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


async def test_what_is_answered_can_be_told():
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


async def test_many_requests_in_one_packet_let_others_run():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with open_edge() as edge, await edge.connect() as client:
        edge.nursery.start_soon(count)
        await client.send_all(b"GET /lean HTTP/1.1\r\nHost: h\r\n\r\n" * 800)
        read = b""
        turns = 0
        while read.count(b"HTTP/1.1 200 ") < 800:
            read += await client.receive_some()
        assert turns >= 100


@pytest.mark.parametrize("pipelined", [8, 100])
async def test_turns_stay_short_however_many_connections_say_much_at_once(monkeypatch, pipelined):
    """Each of a hundred has requests in a row; in one turn few of them are answered."""
    answered = Counter[int]()
    turn = 0

    async def count():
        nonlocal turn
        while True:
            turn += 1
            await trio.lowlevel.checkpoint()

    async def ask(edge, each):
        async with await edge.connect() as client:
            for _ in range(400 // pipelined):
                await client.send_all(b"GET /lean HTTP/1.1\r\nHost: h\r\n\r\n" * pipelined)
                read = b""
                while read.count(b"HTTP/1.1 200 ") < pipelined:
                    read += await client.receive_some()

    async with open_edge() as edge:
        answer = edge.host.shared.application.answer

        async def counted(incoming):
            answered[turn] += 1
            return await answer(incoming)

        monkeypatch.setattr(edge.host.shared.application, "answer", counted)
        edge.nursery.start_soon(count)
        async with trio.open_nursery() as nursery:
            for each in range(60):
                nursery.start_soon(ask, edge, each)
    by_turn = sorted(answered.values())
    assert sum(by_turn) == 60 * 400
    # At first everybody has some at once.
    assert by_turn[-10] <= 60 + 4 * 8


async def test_who_was_refused_stands_in_line_with_the_next_request(monkeypatch):
    tried = Counter[int]()
    turn = 0

    async def count():
        nonlocal turn
        while True:
            turn += 1
            await trio.lowlevel.checkpoint()

    async with open_edge() as edge:
        find = edge.host.shared.application.find

        def counted(head):
            tried[turn] += 1
            return find(head)

        monkeypatch.setattr(edge.host.shared.application, "find", counted)
        edge.nursery.start_soon(count)
        clients = [await edge.connect() for _ in range(40)]
        for round_ in range(3):
            tried.clear()
            for client in clients:
                os.write(client.socket.fileno(), GET.replace(b"hello", b"nothing"))
            for client in clients:
                await read_response(client, b"}\n")
            assert round_ == 0 or max(tried.values()) <= 10
        for client in clients:
            await client.aclose()
    assert tried.total() == 40


async def test_few_requests_begin_on_the_lane_of_the_framework_in_one_turn(monkeypatch):
    entered = Counter[int]()
    turn = 0

    async def count():
        nonlocal turn
        while True:
            turn += 1
            await trio.lowlevel.checkpoint()

    async with open_edge() as edge:
        app = edge.host.shared.app

        async def counted(*arguments):
            entered[turn] += 1
            await app(*arguments)

        monkeypatch.setattr(edge.host.shared, "app", counted)
        edge.nursery.start_soon(count)
        clients = [await edge.connect() for _ in range(40)]
        for client in clients:
            await client.send_all(GET)
        for client in clients:
            await read_response(client, ENDS)
        entered.clear()
        for client in clients:
            os.write(client.socket.fileno(), GET)  # without a turn between them
        for client in clients:
            await read_response(client, ENDS)
            await client.aclose()
    assert entered.total() == 40
    assert max(entered.values()) <= 5


async def test_a_body_of_tiny_chunks_lets_others_run():
    tiny = b"4\r\nxxxx\r\n" * 10_000 + b"0\r\n\r\n"
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            started = time.thread_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.thread_time() - started)

    async def send(edge, path):
        async with await edge.connect() as client:
            await client.send_all(post(path, b"Transfer-Encoding: chunked") + tiny)
            read = b""
            while b'{"length":40000}' not in read:
                read += await client.receive_some()

    async with open_edge() as edge:
        edge.nursery.start_soon(watch)
        async with trio.open_nursery() as nursery:
            for path in (b"/lean", b"/length") * 6:
                nursery.start_soon(send, edge, path)
    assert longest < 0.1  # a turn in which each takes apart what it has read is half a second


async def test_what_lasts_ends_with_a_client_that_says_more_and_more():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(GET.replace(b"hello", b"slow-lasting"))
        await edge.slow_entered.wait()
        await client.send_all(b"x" * 20_000)
        assert await read_all(client) == b""
        await wait_until(lambda: edge.host.connection_count == 0)


async def test_what_lasts_may_have_a_chunked_body():
    async with open_edge() as edge, await edge.connect() as client:
        lines = post(b"/slow-lasting", b"Transfer-Encoding: chunked").replace(b"POST", b"GET")
        await client.send_all(lines + b"2\r\n{}\r\n0\r\n\r\n")
        await edge.slow_entered.wait()
        edge.slow_may_end.set()
        assert (await read_response(client, b"done")).startswith(b"HTTP/1.1 200 ")


# -------------------------------------------------------------------- the end


async def test_draining_finishes_the_request_in_progress():
    async with open_edge() as edge, await edge.connect() as idle, await edge.connect() as client:
        await idle.send_all(GET)
        await read_response(idle, b'{"ok":true}\n')
        await client.send_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await edge.slow_entered.wait()

        edge.host.begin_drain()
        assert await read_all(idle) == b""
        edge.slow_may_end.set()
        answer = await read_all(client)
        assert answer.endswith(b"done")
        assert b"Connection: close" in answer
        assert (await edge.say(GET)).startswith(b"HTTP/1.1 503 ")

        await edge.host.stop(grace=5)
        assert edge.lifespan == ["startup", "shutdown"]


async def test_stopping_ends_stalled_readers_and_stuck_handlers_within_its_grace():
    limits = HttpLimits(write_timeout=60)
    async with open_edge(limits=limits) as edge:
        clients = [await stalled_reader(edge, path) for path in (b"/huge", b"/endless", b"/slow")]
        await edge.slow_entered.wait()
        await wait_until(lambda: edge.host.connection_count == 3)
        began = trio.current_time()

        await edge.host.stop(grace=0.3)

        assert 0.3 <= trio.current_time() - began < 2
        assert edge.host.connection_count == 0
        assert edge.lifespan == ["startup", "shutdown"]
        for client in clients:
            await client.aclose()


async def test_stopping_an_idle_host_takes_no_time():
    async with open_edge() as edge, await edge.connect() as idle:
        await idle.send_all(GET)
        await read_response(idle, b'{"ok":true}\n')
        with trio.fail_after(1):
            await edge.host.stop(grace=30)


async def test_a_host_that_is_cancelled_lets_go_of_its_connections():
    app = QuartTrio("never ending")

    @app.get("/")
    async def never():
        await trio.sleep_forever()

    client, server = await socket_pair()
    host = HttpHost(EdgeApplication(0), app)
    with trio.fail_after(5):
        async with client, trio.open_nursery() as connections:
            async with trio.open_nursery() as nursery:
                await nursery.start(host.run)
                connections.start_soon(host.serve, server)
                await client.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await wait_until(lambda: host.connection_count == 1)
                nursery.cancel_scope.cancel()
            assert await read_all(client) == b""


async def socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname())
        return client, await listener.accept()


async def test_an_application_that_does_not_start_is_named():
    app = QuartTrio("broken")

    @app.before_serving
    async def fail():
        raise ValueError("no database")

    async def hang(scope, receive, send):
        await trio.sleep_forever()

    async def without_lifespan(scope, receive, send):
        raise AssertionError(scope["type"])

    for broken, words in (
        (app, "no database"),
        (hang, "within 0.05 s"),
        (without_lifespan, "AssertionError"),
    ):
        with pytest.raises(LifespanFailed, match=words):
            await HttpHost(EdgeApplication(0), broken, startup_timeout=0.05).run()


@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_an_application_that_fails_to_shut_down_does_not_hold_the_node(fault, log_text):
    app = QuartTrio("broken")

    @app.after_serving
    async def fail():
        if fault == "raises":
            raise ValueError("no more database")
        await trio.sleep_forever()

    host = HttpHost(EdgeApplication(0), app, shutdown_timeout=0.05)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(host.run)
            await host.stop(grace=1)
    assert "shutdown" in log_text()


# --------------------------------------------------------- what we lean on


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
