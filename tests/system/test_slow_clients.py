"""A slow, dead or hostile device costs a bounded number of bytes and delays nobody else (P6)."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from servers.node import wait_until
from servers.tokens import PRODUCER
from tests.system.crowd_kit import open_http
from tests.system.raw_kit import PING, TEXT, Wire, frame
from tests.system.server_kit import Server, fresh_user

MIB = 1 << 20


def deaf_device(server: Server, user: str, name: str = "deaf", **hello: object) -> Wire:
    """A device that says hello and then never reads again."""
    wire = Wire(server, receive_buffer=4096).upgrade(user)
    wire.say("hello", device=name, **hello)
    return wire


def test_a_device_that_never_reads_delays_no_other_of_its_user(start_server, ada):
    server = start_server(outbound_bytes_max="256KiB")
    producer = server.producer()
    with server.device(ada, "phone") as phone, deaf_device(server, ada, window=1024):
        phone.expect_synced()
        delays = []
        for number in range(150):
            started = time.monotonic()
            producer.post(ada, title=str(number), data="x" * 30_000)
            phone.ack(phone.expect_push(str(number)))
            delays.append(time.monotonic() - started)
        assert sorted(delays)[len(delays) // 2] < 0.25
        assert max(delays) < 2


def test_a_device_that_never_reads_is_let_go_as_slow(start_server, ada):
    # Resends without end, because what is unacknowledged is bounded by the window already.
    server = start_server(
        outbound_bytes_max="64KiB", resend_delay=0.05, resend_delay_max=0.05, resend_limit=1000,
        delivery_attempts_max=100_000,
    )  # fmt: skip
    producer = server.producer()
    with deaf_device(server, ada) as deaf:
        wait_until(lambda: server.metric("tocsin_sessions") == 1)
        for _ in range(3):
            producer.post(ada, data="x" * 30_000)
        wait_until(lambda: server.metric("tocsin_sessions") == 0, what="the goodbye", patience=60)
        everything = deaf.read_to_end()
    # The goodbye overtook what waited, but not what the kernel had already.
    assert b'"code":4001,"reason":"slow"' in everything[-200:]
    assert (4001).to_bytes(2, "big") in everything[-20:]


def test_a_device_that_is_let_go_while_deaf_is_closed_all_the_same(start_server, ada):
    server = start_server(outbound_bytes_max="64KiB", resend_delay=0.1, resend_delay_max=0.1)
    before = server.process.num_fds()
    producer = server.producer()
    with deaf_device(server, ada):
        wait_until(lambda: server.metric("tocsin_sessions") == 1)
        for _ in range(10):
            producer.post(ada, data="x" * 30_000)
        wait_until(lambda: server.metric("tocsin_sessions") == 0)
        wait_until(lambda: server.process.num_fds() <= before + 2, what="the socket to be closed")


def test_many_deaf_devices_cost_bounded_memory(start_server):
    server = start_server(outbound_bytes_max="64KiB", resend_delay=0.2, resend_delay_max=0.2)
    users = [fresh_user() for _ in range(100)]
    producer = server.producer()
    # Nothing is sent before all are there: who does not acknowledge is soon told goodbye.
    wires = [deaf_device(server, user) for user in users]
    try:
        wait_until(lambda: server.metric("tocsin_sessions") > 90)
        before = server.process.memory_info().rss
        for _ in range(40):
            producer.post(*users, data="x" * 30_000)
        grown = server.process.memory_info().rss - before
        # All for all would be 120 MB; the bound is 64 KiB and a notification, for each.
        assert grown < 40 * MIB, f"{grown / MIB:.0f} MiB"
    finally:
        for wire in wires:
            wire.socket.close()


@pytest.mark.parametrize("what", ["our ping", "a websocket ping", "a publish"])
def test_a_client_that_never_reads_its_answers_is_bounded(start_server, ada, what):
    server = start_server(outbound_bytes_max="256KiB")
    publish = {"type": "publish", "request": "x" * 100, "notification": {}}
    flood = {
        "our ping": frame(TEXT, b'{"type":"ping"}'),
        "a websocket ping": frame(PING, b"x" * 125),
        "a publish": frame(TEXT, json.dumps(publish).encode()),
    }[what] * 1000
    with deaf_device(server, ada) as deaf, server.device(ada, "phone") as phone:
        phone.expect_synced()
        before = server.process.memory_info().rss
        deaf.socket.settimeout(0.5)
        deadline = time.monotonic() + 8
        try:
            while time.monotonic() < deadline:
                deaf.socket.sendall(flood)
        except (TimeoutError, OSError):
            pass  # it reads no more, or has hung up: both are bounds
        assert server.process.memory_info().rss - before < 50 * MIB
        phone.expect_nothing_before_pong()
        server.producer().post(ada, title="on time")
        phone.expect_push("on time", patience=3)


def test_a_flood_of_refreshes_is_bounded(start_server, ada):
    server = start_server()
    wrong_key = "tk_" + "a" * 8000
    flood = frame(TEXT, json.dumps({"type": "refresh", "token": wrong_key}).encode()) * 200
    with deaf_device(server, ada) as hostile, server.device(ada, "phone") as phone:
        phone.expect_synced()
        before = server.process.memory_info().rss
        hostile.socket.settimeout(0.5)
        try:
            for _ in range(20):
                hostile.socket.sendall(flood)
        except (TimeoutError, OSError):
            pass
        phone.expect_nothing_before_pong()
        assert server.process.memory_info().rss - before < 50 * MIB


def test_a_flood_of_acks_is_taken_or_ended_and_delays_nobody(start_server, ada):
    server = start_server()
    producer = server.producer()
    acks = frame(TEXT, b'{"type":"ack","sequence":0}') * 5000
    with server.device(ada, "phone") as phone, Wire(server) as hostile:
        phone.expect_synced()
        hostile.upgrade(ada)
        hostile.say("hello", device="hostile")
        for number in range(10):
            hostile.send(acks)
            started = time.monotonic()
            producer.post(ada, title=str(number))
            phone.ack(phone.expect_push(str(number)))
            assert time.monotonic() - started < 3


def test_a_device_that_never_acknowledges_costs_no_more_than_its_window(start_server, ada):
    server = start_server(resend_delay=0.3, resend_delay_max=0.3, resend_limit=1000)
    producer = server.producer()
    with server.device(ada, "mute", window=3) as mute, server.device(ada, "phone") as phone:
        mute.expect_synced()
        phone.expect_synced()
        for number in range(50):
            producer.post(ada, title=str(number))
            phone.ack(phone.expect_push(str(number)))
        mute.send("ping")
        while (seen := mute.receive())["type"] != "pong":
            assert seen["sequence"] <= 3


def test_a_half_open_connection_is_found_out(start_server, ada):
    """A peer that is gone without a word: nothing comes back, no end, no reset."""
    server = start_server(heartbeat=0.3)
    with Wire(server) as gone:
        gone.upgrade(ada)
        gone.say("hello", device="phone")
        gone.read_exactly(1)  # of the welcome: there is a session
        wait_until(lambda: server.metric("tocsin_sessions") == 0)


def test_a_reset_connection_is_forgotten_at_once(start_server, ada):
    server = start_server()
    with Wire(server) as gone:
        gone.upgrade(ada)
        gone.say("hello", device="phone")
        wait_until(lambda: server.metric("tocsin_sessions") == 1)
        gone.reset()
        wait_until(lambda: server.metric("tocsin_sessions") == 0, patience=5)
    wait_until(lambda: server.metric("tocsin_users_online") == 0, patience=5)


def test_connections_beyond_the_limit_are_told_and_cost_nothing(start_server, ada):
    server = start_server(connections_max=20)
    wires = [Wire(server) for _ in range(19)]
    try:
        for wire in wires:
            wire.send(b"GET /livez HTT")
        wait_until(lambda: full(server), what="the limit")
        for wire in wires[:5]:
            wire.socket.close()
        wait_until(lambda: not full(server), what="room")
    finally:
        for wire in wires:
            wire.socket.close()


def full(server: Server) -> bool:
    with Wire(server) as one, Wire(server) as two:
        statuses = []
        for wire in (one, two):
            status, headers, _ = wire.ask(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
            if status == 503:
                assert int(headers["retry-after"]) > 0
            statuses.append(status)
        return 503 in statuses


def test_a_body_that_dribbles_in_is_cut_off(start_server):
    server = start_server(request_timeout=1, store_timeout=1)
    with Wire(server) as slow:
        slow.send(
            f"POST /v1/notifications HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {PRODUCER}\r\n"
            "Content-Length: 1000\r\n\r\n".encode()
        )
        slow.socket.settimeout(0.2)
        deadline = time.monotonic() + 10
        answer = b""
        while time.monotonic() < deadline and not answer:
            slow.send(b" ")
            try:
                answer = slow.read()
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")


def test_two_hundred_users_fan_out_while_one_reads_nothing(start_server):
    """The slowest of many recipients delays no other recipient."""
    server = start_server(outbound_bytes_max="64KiB")
    users = [fresh_user() for _ in range(200)]

    async def scenario() -> None:
        async with open_http(server) as http:
            for number in range(20):
                body = {"to": {"users": users}, "title": str(number), "data": "x" * 20_000}
                answer = await http.post("/v1/notifications", json=body)
                assert answer.status_code == 201

    with deaf_device(server, users[0]), server.device(users[1], "phone") as phone:
        phone.expect_synced()
        started = time.monotonic()
        asyncio.run(scenario())
        for number in range(20):
            phone.ack(phone.expect_push(str(number)))
        assert time.monotonic() - started < 10
