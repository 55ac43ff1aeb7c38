"""Clients that are no library: they close half, ask first, say all at once, or want little."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.node import PATIENCE, wait_until
from servers.program import find_binary
from servers.tokens import PRODUCER, token
from tests.system.plain_http_kit import poll
from tests.system.producer_kit import Producer
from tests.system.raw_kit import Wire, upgrade_request
from tests.system.server_kit import Server
from tests.system.shared_servers_kit import run_server

JSON = "Content-Type: application/json"


def request(
    method: str, path: str, credential: str = "", body: bytes | None = None, *headers: str,
    version: str = "1.1",
) -> bytes:  # fmt: skip
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
    if credential:
        lines.append(f"Authorization: Bearer {credential}")
    if body is not None:
        lines += [JSON, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def hot(user: str) -> dict[str, bytes]:
    """Requests that are answered at the door, and a few that are not; each with status 2xx."""
    draft = {"to": {"users": [user]}, "title": "Hello"}
    one, many = json.dumps(draft).encode(), json.dumps([draft] * 3).encode()
    # Of a notification that is not there (any more), which says nothing.
    an_ack = b'{"device":"phone","ids":["01a22be9-d613-7378-b601-d9c03c37b56e"]}'
    mine = token(user)
    return {
        "post": request("POST", "/v1/notifications", PRODUCER, one),
        "batch": request("POST", "/v1/notifications/batch", PRODUCER, many),
        "inbox": request("GET", "/v1/inbox", mine),
        "mark": request("POST", "/v1/inbox/mark", mine, b'{"state":"seen","all":true}'),
        "ack": request("POST", "/v1/inbox/ack", mine, an_ack),
        "live": request("GET", "/livez"),
        "ready": request("GET", "/readyz"),
        "ticket": request("POST", "/v1/tickets", mine),
        "me": request("GET", "/v1/me/devices", mine),
        "poll": request("GET", "/v1/inbox/changes?device=phone", mine),
    }


NAMES = list(hot("ada"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all here, whatever its store: what is in question is its door."""
    yield from run_server(Server(tmp_path_factory.mktemp("server")))


@pytest.fixture
def ada(ada: str, request: pytest.FixtureRequest) -> str:
    """A user with a phone, whom the shared server knows."""
    if "server" in request.fixturenames:
        poll(request.getfixturevalue("server"), ada, device="phone")
    return ada


def whole(answer: bytes) -> tuple[int, bytes]:
    """Status and body of an answer that is alone, and has all that it says it has."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    if fields.get("transfer-encoding") == "chunked":
        assert body.endswith(b"0\r\n\r\n")
    else:
        assert int(fields.get("content-length", 0)) == len(body)
    return int(lines[0].split()[1]), body


# --- Clients that close their half ----------------------------------------------------------------


def by_shutdown(server: Server, said: bytes) -> bytes:
    with Wire(server) as wire:
        wire.send(said)
        wire.socket.shutdown(socket.SHUT_WR)
        return wire.read_to_end()


def by_nc(server: Server, said: bytes) -> bytes:
    command = [find_binary("nc", "netcat-openbsd"), "-N", "127.0.0.1", str(server.port)]
    return subprocess.run(
        command, input=said, capture_output=True, timeout=PATIENCE, check=True
    ).stdout


@pytest.mark.parametrize("ask", [by_shutdown, by_nc])
@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_closes_its_half_gets_the_whole_answer(
    server: Server, producer: Producer, ada: str, name: str, ask: Callable[[Server, bytes], bytes]
):
    producer.post(ada, title="Before")
    status, body = whole(ask(server, hot(ada)[name]))
    assert 200 <= status < 300, body
    stored = {"post": 2, "batch": 4}.get(name, 1)
    with server.device(ada, "desktop", cursor="0") as device:
        for _ in range(stored):
            device.expect_push()
        device.expect_synced()


def test_all_that_was_said_before_the_half_close_is_answered(server: Server, ada: str):
    every = b"".join(hot(ada).values())
    answers = by_shutdown(server, every)
    assert answers.count(b"HTTP/1.1 2") == len(NAMES), answers


@pytest.mark.parametrize("path", ["/v1/inbox/stream?device=tab", "/v1/inbox/changes?wait=30"])
@pytest.mark.parametrize("how", ["shutdown", "close", "reset"])
def test_streams_and_polls_notice_who_has_gone(start_server, ada: str, path: str, how: str):
    server = start_server()
    with Wire(server) as wire:
        wire.send(request("GET", path, token(ada)))
        wait_until(lambda: server.metric("tocsin_sessions") == 1)
        match how:
            case "shutdown":
                wire.socket.shutdown(socket.SHUT_WR)
            case "close":
                wire.socket.close()
            case _:
                wire.reset()
        wait_until(lambda: server.metric("tocsin_sessions") == 0, patience=5)


# --- Clients that say it all at once --------------------------------------------------------------


def test_pipelined_requests_are_answered_in_their_order(server: Server, producer, ada: str):
    producer.post(ada)
    said = hot(ada)
    expected = {"post": 201, "ticket": 201, "ack": 204}
    with Wire(server) as wire:
        wire.send(b"".join(said.values()) * 5 + request("GET", "/v1/nothing"))
        for _ in range(5):
            for name in said:
                status, _, body = wire.read_answer()
                assert status == expected.get(name, 200), (name, body)
        assert wire.read_answer()[0] == 404


@pytest.mark.parametrize("before", ["live", "ticket", "post", "poll"])
@pytest.mark.parametrize("pipelined", [True, False])
def test_an_upgrade_may_come_behind_any_request(
    server: Server, producer: Producer, ada: str, before: str, pipelined: bool
):
    first = hot(ada)[before]
    upgrade = upgrade_request(ada).replace(
        b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"
    )
    with Wire(server) as wire:
        if pipelined:
            wire.send(first + upgrade)
            assert wire.read_answer()[0] in {200, 201}
        else:
            assert wire.ask(first)[0] in {200, 201}
            wire.send(upgrade)
        assert wire.read_answer()[0] == 101
        wire.say("hello", device="desktop")
        assert wire.read_text()["type"] == "welcome"
        producer.post(ada, title="Over it")
        pushed = wire.read_text()
        while pushed["type"] != "push" or pushed["notification"]["title"] != "Over it":
            pushed = wire.read_text()


def test_an_upgrade_that_is_refused_ends_nothing(server: Server, ada: str):
    with Wire(server) as wire:
        for header, status in (
            ("Origin: https://evil.example", 403),
            ("Sec-WebSocket-Protocol: chat", 400),
        ):
            assert wire.ask(upgrade_request(ada, [header]))[0] == status
        assert wire.ask(upgrade_request(ada, target="/v1/nothing"))[0] == 404
        assert wire.ask(request("GET", "/livez"))[0] == 200
        wire.upgrade(ada)


# --- Clients that want little ---------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_connection_is_kept_where_both_say_so(
    server: Server, ada: str, version: str, connection: str
):
    """HTTP/1.0 gets its answer and the end, which is all that it can rely on."""
    said = request(
        "GET", "/v1/inbox", token(ada), None, f"Connection: {connection}", version=version
    )
    kept = (version, connection) == ("1.1", "keep-alive")
    with Wire(server) as wire:
        status, headers, _ = wire.ask(said)
        assert status == 200
        assert headers.get("connection") == (None if kept else "close")
        if kept:
            assert wire.ask(said)[0] == 200
        else:
            assert wire.read_to_end() == b""


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/v1/inbox", "/v1/me/devices", "/v1/nothing"]
)
def test_head_says_what_get_would(server: Server, ada: str, path: str):
    credential = token(ada)
    with Wire(server) as wire:
        wire.send(request("HEAD", path, credential, None, "Connection: close"))
        head, _, body = wire.read_to_end().partition(b"\r\n\r\n")
    assert body == b""
    with Wire(server) as wire:
        wire.send(request("GET", path, credential, None, "Connection: close"))
        full, _, body = wire.read_to_end().partition(b"\r\n\r\n")
    assert body
    assert steady(head) == steady(full)


def steady(head: bytes) -> list[str]:
    """The lines that do not change from one answer to the next."""
    changing = ("date:", "x-request-id:")
    lines = head.decode().split("\r\n")
    return [line for line in lines if not line.lower().startswith(changing)]


@pytest.mark.parametrize("path", ["/v1/notifications", "/v1/notifications/batch", "/v1/tickets"])
def test_a_compressed_body_is_refused(server: Server, ada: str, path: str):
    body = gzip.compress(json.dumps({"to": {"users": [ada]}, "title": "x"}).encode())
    said = request("POST", path, token(ada, "notify"), body, "Content-Encoding: gzip")
    with Wire(server) as wire:
        status, headers, _ = wire.ask(said)
    assert status == 415
    assert headers["accept-encoding"] == "identity"


# --- curl -----------------------------------------------------------------------------------------


def curl(*arguments: str, body: bytes = b"") -> tuple[str, str]:
    """The output of curl: the body, and the conversation."""
    done = subprocess.run(
        [find_binary("curl"), "--silent", "--verbose", "--max-time", str(PATIENCE), *arguments],
        input=body,
        capture_output=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def posting(server: Server, path: str) -> list[str]:
    return [f"{server.url}{path}", "--header", f"Authorization: Bearer {PRODUCER}",
            "--data-binary", "@-", "--header"]  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--http1.0"], ["--http2"], ["--tr-encoding"]])
def test_curl_posts(server: Server, ada: str, options: list[str]):
    """Also where it asks for HTTP/2 in passing, which is passed over."""
    body = json.dumps({"to": {"users": [ada]}, "title": "Hello"}).encode()
    said, told = curl(*options, *posting(server, "/v1/notifications"), JSON, body=body)
    assert " 201 " in told, told
    assert json.loads(said)["id"]


@pytest.mark.parametrize("path", ["/v1/notifications", "/v1/notifications/batch"])
@pytest.mark.parametrize("chunked", [True, False])
def test_curl_waits_to_be_told_to_go_on(server: Server, ada: str, path: str, chunked: bool):
    draft = {"to": {"users": [ada]}, "title": "Hello"}
    body = json.dumps([draft] * 2 if path.endswith("batch") else draft).encode()
    options = ["--expect100-timeout", "600", "--header", "Expect: 100-continue"]
    if chunked:
        options += ["--header", "Transfer-Encoding: chunked"]
    _, told = curl(*options, *posting(server, path), JSON, body=body)
    assert "HTTP/1.1 100 Continue" in told
    assert told.index("100 Continue") < max(told.find("HTTP/1.1 201"), told.find("HTTP/1.1 200"))


def test_curl_is_told_no_before_it_sends_anything(server: Server):
    """A body that nobody will read is not asked for."""
    options = ["--expect100-timeout", "600", "--header", "Expect: 100-continue"]
    where = posting(server, "/v1/notifications")
    _, told = curl(*options, *where, JSON, body=b"x" * (1 << 21))
    assert "HTTP/1.1 413" in told
    assert "100 Continue" not in told
    _, told = curl(*options, f"{server.url}/v1/notifications", "--data-binary", "@-", body=b"{}")
    assert "HTTP/1.1 401" in told
    assert "100 Continue" not in told


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("/v1/notifications", {"POST", "OPTIONS"}),
        ("/v1/inbox", {"GET", "HEAD", "OPTIONS"}),
        ("*", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}),
    ],
)
def test_curl_asks_what_is_allowed(server: Server, target: str, allowed: set[str]):
    said, told = curl("--request", "OPTIONS", "--request-target", target, server.url)
    assert said == ""
    assert " 204 " in told
    (line,) = [each for each in told.splitlines() if each.lower().startswith("< allow: ")]
    assert set(line.partition(": ")[2].split(", ")) == allowed


def test_curl_takes_several_from_one_connection(server: Server, ada: str, tmp_path: Path):
    _, told = curl(
        *["--header", f"Authorization: Bearer {token(ada)}"],
        *[
            f"{server.url}{path}"
            for path in ("/livez", "/v1/inbox", "/v1/me/devices", "/v1/nothing")
        ],
    )
    assert told.count("< HTTP/1.1 200") == 3
    assert told.count("Re-using existing connection") == 3
