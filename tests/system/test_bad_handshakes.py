"""Bad handshakes are told what is wrong; bytes behind a good one are frames, or the end."""

from __future__ import annotations

import json
import time

import pytest

from tests.system.raw_kit import TEXT, Wire, expect_stays_open, frame, upgrade_request
from tests.system.server_kit import Server

# Nothing here depends on the store.
pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")


def test_a_client_that_does_not_wait_for_the_answer_is_served(server: Server, ada):
    """Bytes pipelined behind the upgrade: forbidden to clients, harmless to us."""
    hello = frame(TEXT, b'{"type":"hello","device":"eager"}')
    with Wire(server) as wire:
        wire.upgrade(ada, behind=hello + frame(TEXT, b'{"type":"ping"}'))
        kinds = {wire.read_text()["type"] for _ in range(3)}
        assert kinds == {"welcome", "synced", "pong"}


@pytest.mark.parametrize("behind", [b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100_000])
def test_garbage_behind_the_upgrade_is_the_end(server: Server, ada, behind):
    with Wire(server) as wire:
        wire.send(upgrade_request(ada) + behind)
        wire.socket.shutdown(1)
        wire.read_to_end()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade_request().replace(b"Version: 13", b"Version: 8"), 426),
        (upgrade_request().replace(b"Key: dGhlIHNhbXBsZSBub25jZQ==", b"Key: x"), 400),
        (upgrade_request().replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400),
        (upgrade_request().replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
        (upgrade_request(headers=["Content-Length: 5"]), 400),
        (upgrade_request(headers=["Transfer-Encoding: chunked"]), 400),
        (upgrade_request(headers=["Sec-WebSocket-Protocol: \u00e4"]), 400),
        (upgrade_request(target="/v1/ws/"), 404),
        (upgrade_request(target="/v1/inbox"), 404),
        (upgrade_request(target="/v1/ws?" + "&".join(f"a{n}=1" for n in range(200))), 400),
    ],
)
def test_a_bad_handshake_is_told_what_is_wrong(server: Server, request_, status):
    with Wire(server) as wire:
        answered, headers, body = wire.ask(request_)
        assert answered == status
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == status


def test_post_is_no_upgrade(server: Server):
    with Wire(server) as wire:
        assert wire.ask(upgrade_request().replace(b"GET", b"POST"))[0] == 404


@pytest.mark.parametrize(
    "extensions",
    ["permessage-deflate", "permessage-deflate; client_max_window_bits=99", "x" * 5000, "a;b=c,,"],
)
def test_extensions_are_not_spoken(server: Server, ada, extensions):
    with Wire(server) as wire:
        wire.upgrade(ada, headers=[f"Sec-WebSocket-Extensions: {extensions}"])
        wire.say("hello", device="phone")
        assert wire.read_text()["type"] == "welcome"


def test_a_client_that_vanishes_in_the_handshake_leaves_nothing(server: Server, ada):
    before = server.process.num_fds()
    for size in (10, 100, 150, len(upgrade_request(ada))):
        with Wire(server) as wire:
            wire.send(upgrade_request(ada)[:size])
    deadline = time.monotonic() + 15
    while server.process.num_fds() > before and time.monotonic() < deadline:
        expect_nothing_meanwhile(server)
    assert server.process.num_fds() <= before


def expect_nothing_meanwhile(server: Server) -> None:
    with Wire(server) as wire:
        expect_stays_open(wire, 0.2)
