"""Every operation, asked in the ways of HTTP that few clients use."""

from __future__ import annotations

import re
import socket

import pytest

from servers.tokens import ADMIN, bearer, token
from tests.system.producer_kit import expect_json
from tests.system.raw_kit import Wire
from tests.system.server_kit import Server, fresh_user

# The store's part in it is the same with each adapter.
pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")
LAST = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LASTING = {
    *("/v1/inbox/stream", "/v1/inbox/changes"),
    *("/v1/receipts", "/v1/receipts/stream", "/v1/admin/events"),
}


def operations(server: Server) -> list[tuple[str, str]]:
    document = expect_json(server.http.get("/openapi.json", headers=bearer(ADMIN)))
    found = [
        (method.upper(), path)
        for path, described in document["paths"].items()
        for method in described
        if method in {"get", "post", "put", "patch", "delete"}
    ]
    assert len(found) > 20
    return found


def head(method: str, path: str, *lines: str, version: str = "1.1") -> bytes:
    target = re.sub(r"\{[^}]*\}", "01890000-0000-7000-8000-000000000000", path)
    credential = token(fresh_user("eve"), "notify admin")
    first = [f"{method} {target} HTTP/{version}", "Host: localhost"]
    fields = [f"Authorization: Bearer {credential}", "Content-Type: application/json"]
    return "\r\n".join([*first, *fields, *lines, "", ""]).encode()


def answer(server: Server, said: bytes, *, half_close: bool = False, lasts: bool = False) -> bytes:
    """All that is answered to the end, or for a moment where the answer lasts."""
    with Wire(server) as wire:
        if lasts:
            wire.socket.settimeout(0.3)
        wire.send(said)
        if half_close:
            wire.socket.shutdown(socket.SHUT_WR)
        everything = b""
        try:
            while data := wire.read():
                everything += data
        except TimeoutError:
            assert lasts, everything
        return everything


def test_a_client_that_closes_its_half_is_answered(server: Server):
    for method, path in operations(server):
        said = head(method, path, "Content-Length: 2") + b"{}"
        assert re.match(rb"HTTP/1\.1 [2-4]", answer(server, said, half_close=True)), (method, path)


def test_a_client_of_an_older_http_gets_no_chunks(server: Server):
    for method, path in operations(server):
        said = head(method, path, "Content-Length: 2", version="1.0") + b"{}"
        heard = answer(server, said, lasts=path in LASTING)
        assert re.match(rb"HTTP/1\.1 [2-4]", heard), (method, path)
        assert b"transfer-encoding" not in heard.lower(), (method, path)
        assert b"Connection: close\r\n" in heard, (method, path)


def test_a_head_is_answered_without_a_body(server: Server):
    for method, path in operations(server):
        if method == "GET":
            heard = answer(server, head("HEAD", path) + LAST)
            first, second, body = heard.split(b"\r\n\r\n")
            assert re.match(rb"HTTP/1\.1 [2-4]", first), path
            assert second.startswith(b"HTTP/1.1 200 "), path
            assert body, path


def test_a_body_in_chunks_with_a_trailer_is_a_body(server: Server):
    chunks = b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nX-Sum: 1\r\nEmpty:\r\n\r\n"
    for method, path in operations(server):
        said = head(method, path, "Transfer-Encoding: chunked", "Trailer: X-Sum")
        lasts = path in LASTING
        heard = answer(server, said + chunks + LAST, lasts=lasts)
        assert re.match(rb"HTTP/1\.1 [2-4]", heard), (method, path)
        assert heard.count(b"HTTP/1.1 ") >= 2 or lasts, (method, path)
