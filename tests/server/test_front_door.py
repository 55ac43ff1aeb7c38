"""One port, every kind of client, and none that harms another."""

import errno
import json
import os
import socket
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from websockets.sync.client import connect

from tests.server.edge_kit import GET, UPGRADE, open_edge, read_all, wait_until
from tocsin.server.door.front_door import CannotListen, FrontDoor
from tocsin.server.door.limits import DoorLimits
from tocsin.server.http.limits import HttpLimits

RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"


async def nothing(*arguments) -> None:
    pass


def make_door(**arguments) -> FrontDoor:
    defaults: dict[str, Any] = dict.fromkeys(("websocket", "websocket_turned", "http"), nothing)
    return FrontDoor(**defaults | {"limits": DoorLimits(connections_max=1000)} | arguments)


def problem(answer: bytes):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"X-Request-Id: " in head
    return json.loads(body)


# ------------------------------------------------------------------- listening


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "::"])
async def test_it_listens_on_one_port_for_all_addresses(host):
    try:
        listeners = await make_door().open([host], 0)
    except CannotListen as error:
        if error.errno == errno.EADDRNOTAVAIL:
            pytest.skip("this machine has no such address")
        raise
    assert len({listener.socket.getsockname()[1] for listener in listeners}) == 1
    for listener in listeners:
        await listener.aclose()


async def test_an_address_in_use_is_named():
    door = make_door()
    (listener,) = await door.open(["127.0.0.1"], 0)
    port = listener.socket.getsockname()[1]
    async with listener:
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: another program") as caught:
            await door.open(["127.0.0.1"], port)
    assert caught.value.errno == errno.EADDRINUSE


async def test_an_address_that_is_not_ours_is_named():
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:0"):
        await make_door().open(["192.0.2.1"], 0)


# ----------------------------------------------------------------- dispatching


async def test_both_protocols_come_through_one_port():
    async with open_edge() as edge:
        await edge.expect_alive()

        def talk():
            with connect(edge.url, compression=None) as websocket:
                websocket.send("hello")
                return websocket.recv(timeout=5)

        assert await trio.to_thread.run_sync(talk) == "hello"


async def test_the_websocket_side_gets_the_head_and_all_that_was_read():
    seen = []

    async def note(stream, head, rest, turn, address):
        seen.append((head.path, head.query_values(), rest))

    async with open_edge(websocket=note) as edge:
        raw = UPGRADE.replace(b"/v1/ws", b"/v1/ws?ticket=t") + b"x"
        assert await edge.say(raw) == b""
    assert seen == [("/v1/ws", {"ticket": "t"}, b"x")]


async def test_sockets_are_set_up_for_small_frames_and_dead_peers():
    options = []

    async def look(stream, head, rest, turn, address):
        options.append(stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        options.append(stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    async with open_edge(websocket=look, user_timeout=7.5) as edge:
        await edge.say(UPGRADE)
    assert options == [1, 7500]


# --------------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /hello HTTP/1.1\r\nHost: \xe9\r\n\r\n", 400),
        (UPGRADE.replace(b"Host: h", b"Host: \xe9"), 400),
        (b"\x00\x01\x02 garbage\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 505),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, 431),
        (UPGRADE.replace(b"Version: 13", b"Version: 8"), 426),
        (UPGRADE.replace(b"Sec-WebSocket-Version: 13\r\n", b""), 426),
        (UPGRADE.replace(b"Host: h", b"Host: h\r\nSec-WebSocket-Protocol: \xe9"), 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
)
async def test_a_bad_request_gets_a_problem(said, status):
    async with open_edge() as edge:
        answer = await edge.say(said)

        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert problem(answer)["status"] == status
        await edge.expect_alive()


async def test_a_head_that_dribbles_in_is_given_up():
    async with (
        open_edge(limits=HttpLimits(head_timeout=0.2)) as edge,
        await edge.connect() as client,
    ):
        answer = b""

        async def dribble():
            for byte in UPGRADE[:-1]:
                await client.send_all(bytes((byte,)))
                await trio.sleep(0.01)  # waits for: nothing; it is a slow client

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble)
            answer = await read_all(client)
            nursery.cancel_scope.cancel()
        assert problem(answer)["status"] == 408


async def test_a_client_that_goes_within_the_head_is_no_failure():
    async with open_edge() as edge:
        for said in (UPGRADE[:20], GET[:-1]):
            client = await edge.connect()
            await client.send_all(said)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            await client.aclose()
        await wait_until(lambda: edge.door.statistics().accepted == 2)
        await wait_until(lambda: edge.door.statistics().open == 0)
        assert edge.door.statistics().failures == 0


async def test_a_full_node_says_so_and_recovers():
    async with open_edge(connections_max=2) as edge:
        first, second = [await edge.connect() for _ in range(2)]
        await wait_until(lambda: edge.door.statistics().open == 2)

        answer = await edge.say(GET)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in answer
        assert problem(answer)["code"] == "overloaded"

        await first.aclose()
        await wait_until(lambda: edge.door.statistics().open == 1)
        await edge.expect_alive()
        await second.aclose()


async def test_a_full_node_still_says_that_it_lives_and_turns_websockets_away_inside():
    async with open_edge(connections_max=0) as edge:
        assert (await edge.say(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")).startswith(
            b"HTTP/1.1 200 "
        )
        assert await edge.say(UPGRADE) == b"turned away: full"


async def test_beyond_the_reserve_connections_are_just_closed():
    async with open_edge(connections_max=0, reserve_max=0) as edge:
        assert await edge.say() == b""
        assert edge.door.statistics().refused == 1


# --------------------------------------------------------------------- guarding


async def test_a_server_that_crashes_costs_its_connection_only(log_text):
    async with open_edge() as edge:

        def crash():
            with connect(edge.url, compression=None) as victim:
                victim.send("crash")
                for _ in victim:
                    pass

        def survive(done):
            with connect(edge.url, compression=None) as other:
                other.send("a")
                assert other.recv(timeout=5) == "a"
                trio.from_thread.run_sync(done.set)
                trio.from_thread.run(crashed.wait)
                other.send("b")
                assert other.recv(timeout=5) == "b"

        ready, crashed = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, survive, ready)
            await ready.wait()
            try:
                await trio.to_thread.run_sync(crash)
            except Exception as error:  # how it ends for the client is the WebSocket side's affair
                structlog.get_logger(__name__).info("the client failed", error=repr(error))
            crashed.set()
        await wait_until(lambda: edge.door.statistics().open == 0)
        assert edge.door.statistics().failures == 1
    assert "ZeroDivisionError" in log_text()


async def test_cancelling_passes_through_the_guard_also_beside_a_failure():
    async def fail_when_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while unwinding")

    entered = trio.Event()

    async def both(stream, address, turned):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)
            entered.set()

    door = make_door(http=both)
    client, server = await socket_pair()
    with trio.fail_after(5):
        async with client, trio.open_nursery() as nursery:
            nursery.start_soon(door.handle, server, "127.0.0.1")
            await client.send_all(GET)
            await entered.wait()
            nursery.cancel_scope.cancel()
    assert door.statistics().failures == 1
    assert door.statistics().open == 0


async def socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname())
        return client, await listener.accept()


async def test_bytes_of_a_client_are_not_logged(log_text, caplog):
    caplog.set_level("DEBUG", logger="tocsin")

    async def fail(stream, head, rest, turn, address):
        raise ValueError("ours")

    async with open_edge(websocket=fail) as edge:
        await edge.say(UPGRADE.replace(b"/v1/ws", b"/v1/ws?ticket=opensesame"))
        await edge.say(b"opensesame\r\n\r\n")
        await edge.say(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: opensesame\x00\r\n\r\n")
    assert "ours" in log_text()
    assert "opensesame" not in log_text()


async def test_two_hundred_hostile_connections_leave_the_door_open():
    hostile = [
        UPGRADE + b"x",
        UPGRADE + b"\xff" * 5000,
        UPGRADE.replace(b"Host: h", b"Host: \xe9"),
        GET + UPGRADE + b"x",
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 30_000,
        b"POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /length HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
        b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n",
    ]

    async def attack(edge, said, reset):
        client = await edge.connect()
        try:
            await client.send_all(said)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            else:
                await client.receive_some(1000)
        except trio.BrokenResourceError:
            pass
        finally:
            await client.aclose()

    async with open_edge(limits=HttpLimits(body_timeout=0.2)) as edge:
        async with trio.open_nursery() as nursery:
            for i in range(200):
                nursery.start_soon(attack, edge, hostile[i % len(hostile)], i % 3 == 0)
        await edge.expect_alive()
        await wait_until(lambda: edge.door.statistics().open == 0)
        assert edge.door.statistics().accepted == 201
        assert edge.door.statistics().failures == 0


# -------------------------------------------------------------------- accepting


async def test_without_a_free_descriptor_it_waits_and_goes_on(log_text):
    """For real: the process's table is filled by lowering its limit to what is open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with open_edge() as edge:
        client = trio.socket.socket()
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        fillers = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest, *fillers) + 1, hard))
            fillers += fill_descriptors()
            await client.connect(("127.0.0.1", edge.port))
            await wait_until(lambda: "cannot accept" in log_text())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for filler in fillers:
                os.close(filler)
        async with trio.SocketStream(client) as stream:
            await stream.send_all(GET)
            assert await stream.receive_some()


def fill_descriptors() -> list[int]:
    taken = []
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return taken


async def test_a_connection_that_cannot_be_started_is_closed_and_the_next_is_served(log_text):
    door = make_door()
    listeners = await door.open(["127.0.0.1"], 0)
    started: list[trio.SocketStream] = []
    refused = trio.Event()

    def start(stream, address):
        if not refused.is_set():
            refused.set()
            raise RuntimeError("no more children")
        started.append(stream)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(door.accept, listeners, start)
            address = listeners[0].socket.getsockname()
            async with await trio.open_tcp_stream(*address) as unlucky:
                assert await read_all(unlucky) == b""
            async with await trio.open_tcp_stream(*address):
                await wait_until(lambda: bool(started))
            nursery.cancel_scope.cancel()
    await started[0].aclose()
    assert "no more children" in log_text()


async def test_cancelling_closes_the_listeners():
    door = make_door()
    listeners = await door.open(["127.0.0.1"], 0)
    address = listeners[0].socket.getsockname()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.accept, listeners, lambda stream, address: None)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream(*address)
