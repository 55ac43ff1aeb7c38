"""Attackers that send bodies, or read slowly, are not felt by a neighbour."""

from __future__ import annotations

import select

import pytest

from servers.node import PATIENCE
from servers.tokens import PRODUCER, token
from tests.system.attacking_kit import Attack
from tests.system.bearable_kit import LIVE, UNKNOWN, expect_bearable, request
from tests.system.raw_kit import Wire
from tests.system.server_kit import Server, fresh_user

pytestmark = [
    pytest.mark.alone,
    # The store's part in it is the same with each adapter.
    pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session"),
]


# --- Bodies ---------------------------------------------------------------------------------------


def test_unfinished_bodies_of_one_user(server: Server):
    eve = token(fresh_user("eve"))
    body = b" " * 20_000
    mark = request("POST /v1/inbox/mark", "Content-Length: 20001", credential=eve, body=body)
    expect_bearable(server, Attack(first=mark, connections=300))


@pytest.mark.parametrize("path", ["/v1/notifications", "/v1/notifications/batch"])
def test_unfinished_bodies_of_one_producer(server: Server, path):
    """More than fits; what is too much is refused, and the connection ends."""
    head = request(f"POST {path}", "Content-Length: 1000000", credential=PRODUCER)
    attack = Attack(first=head + b" " * 999_999, connections=300)
    expect_bearable(server, attack, "429")


@pytest.mark.parametrize("framing", ["Content-Length: 20000", "Transfer-Encoding: chunked"])
def test_bodies_that_dribble(server: Server, framing):
    eve = token(fresh_user("eve"))
    body = b" " * 20_000 if "Length" in framing else b"1\r\n \r\n" * 3000
    mark = request("POST /v1/inbox/mark", framing, credential=eve, body=body)
    expect_bearable(server, Attack(first=mark, connections=200, piece=1, pause=0.02))


@pytest.mark.parametrize(
    ("line", "credential"),
    [
        ("POST /v1/inbox/mark", ""),
        ("POST /v1/inbox/ack", ""),
        (f"PATCH /v1/notifications/{UNKNOWN}", PRODUCER),
        ("POST /v1/notifications/batch", PRODUCER),
    ],
    ids=lambda each: str(each)[:30],
)
def test_bodies_in_tiny_chunks(server: Server, line, credential):
    eve = token(fresh_user("eve"))
    head = request(line, "Transfer-Encoding: chunked", credential=credential or eve)
    attack = Attack(again=(head + b"1\r\n \r\n" * 100_000,), connections=100)
    expect_bearable(server, attack)


def test_chunks_that_are_none(server: Server):
    eve = token(fresh_user("eve"))
    head = request("POST /v1/inbox/ack", "Transfer-Encoding: chunked", credential=eve)
    bodies = [
        b"f" * 15_000,
        b"0" * 15_000 + b"\r\n",
        b"1;" + b" " * 15_000,
        b"1\n \n0\n\n",
        b"-1\r\n",
        b"1\r\n   \r\n",
        b"0\r\n" + b"X: y\r\n" * 5_000,
        b"0\r\nno field\r\n\r\n",
    ]
    heads = tuple(head + body for body in bodies)
    expect_bearable(server, Attack(again=heads, connections=50, patient=True), "400")


# --- Readers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full_inbox(server: Server) -> str:
    eve = fresh_user("eve")
    for _ in range(60):
        server.producer().post(eve, body="x" * 4000, data="x" * 28_000)
    return token(eve)


@pytest.mark.parametrize(
    "line", ["GET /v1/inbox?limit=8", "GET /v1/inbox/changes", "GET /v1/me/devices"]
)
@pytest.mark.parametrize("reads", [0, 1])
def test_slow_readers_of_a_full_inbox(server: Server, full_inbox, line, reads):
    page = request(line, credential=full_inbox)
    attack = Attack(again=(page * 50,), connections=60, reads=reads, receive_buffer=4096)
    expect_bearable(server, attack)


@pytest.mark.parametrize("line", ["GET /v1/inbox/stream", "GET /v1/inbox/changes?wait=9"])
def test_new_devices_in_a_loop(server: Server, line):
    eve = token(fresh_user("eve"))
    mark = "&" if "?" in line else "?"
    asking = request(f"{line}{mark}device=d%NUMBER%", credential=eve)
    expect_bearable(server, Attack(again=(asking,), connections=20, patient=True))


def test_streams_whose_clients_say_more(server: Server):
    eve = token(fresh_user("eve"))
    stream = request("GET /v1/inbox/stream?device=d%NUMBER%", credential=eve)
    attack = Attack(first=stream, again=(LIVE * 1000,), connections=100)
    expect_bearable(server, attack)


def test_tiny_limits_of_bodies_hold_where_nothing_is_declared(start_server, new_store):
    """On the lean lane, where the body is streamed, and where the framework takes it."""
    names = ("body_bytes_max", "batch_bytes_max", "credential_body_bytes_max")
    server = start_server(**dict.fromkeys(names, "64KiB"), **new_store())
    for line in (
        "POST /v1/notifications",
        "POST /v1/notifications/batch",
        f"PATCH /v1/notifications/{UNKNOWN}",
    ):
        head = request(line, "Transfer-Encoding: chunked", credential=PRODUCER)
        with Wire(server) as first, Wire(server) as second:
            for each in (first, second):
                each.send(head + b"a000\r\n" + b" " * 0xA000)
            # One of them is held, and there is no room for the other beside it.
            sockets = [first.socket, second.socket]
            (answered, *both), _, _ = select.select(sockets, [], [], PATIENCE)
            assert not both, line
            refused = first if answered is first.socket else second
            status, headers, _ = refused.read_answer()
            assert status == 429, line
            assert headers["retry-after"]
    server.expect_sound()
