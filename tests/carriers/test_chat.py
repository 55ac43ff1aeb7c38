"""Apprise as a channel, against a service that takes JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from tests.carriers.test_mail import parcel
from tocsin.carriers.chat import AppriseCarrier, checked_chat_address
from tocsin.protocol.channels.carrying import Accepted, Parcel, Rejected, TryLater


class Service:
    """Takes what is posted to `/ok…`, and refuses the rest."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.got.append((self.path, json.loads(body)))
                self.send_response(200 if self.path.startswith("/ok") else 500)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


def to(address: str) -> Parcel:
    return msgspec.structs.replace(parcel("Pump 3", body="is dry"), value=address)


async def test_a_service_gets_title_and_body_at_the_persons_address(service):
    carrier = AppriseCarrier(f"json://127.0.0.1:{service.port}/ok/{{address}}", 2)

    assert await carrier.carry(to("team/3")) == Accepted()

    [(path, body)] = service.got
    assert path.startswith("/ok/team")
    assert (body["title"], body["message"]) == ("Pump 3", "is dry")


async def test_a_failure_is_tried_once_more_only(service):
    carrier = AppriseCarrier(f"json://127.0.0.1:{service.port}/no/{{address}}", 2)

    carried = await carrier.carry(to("3"))

    assert isinstance(carried, TryLater)
    assert carried.attempts_max == 2


async def test_an_address_that_makes_no_url_of_apprise_is_rejected():
    assert isinstance(await AppriseCarrier("pigeon://{address}", 2).carry(to("3")), Rejected)


def test_an_address_is_a_name_and_nothing_of_a_url():
    assert checked_chat_address("@ada:example.org") == "@ada:example.org"
    for wrong in ("", "a/b", "a?b=c", "a#b", "a b", "x" * 257):
        with pytest.raises(ValueError, match="is not 1 to 256"):
            checked_chat_address(wrong)
