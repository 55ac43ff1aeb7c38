"""Channels as their users meet them: addresses, mails, pushes, and the producer's list of sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from servers.mail import MailServer
from servers.push_service import PushService
from servers.tokens import bearer, token
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(tmp_path_factory.mktemp("mail")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def push_service() -> Iterator[PushService]:
    service = PushService()
    yield service
    service.close()


def environment(
    channels: dict[str, Any], escalations: dict[str, Any] | None = None, **more: str
) -> dict[str, str]:
    """The variables of a node with *channels*."""
    return {
        "TOCSIN_CHANNELS": json.dumps(channels),
        "TOCSIN_ESCALATIONS": json.dumps(escalations or {}),
        **more,
    }


PUSH = [{"after": 0, "channel": "webpush"}]
"""The plan of a post that is pushed to browsers at once."""


def start_webpush(start_server: Callable[..., Server], **settings: object) -> Server:
    """A node of a test's own, which pushes to a push service on this machine."""
    variables = environment(
        {"webpush": {"kind": "webpush"}},
        TOCSIN_VAPID_PRIVATE_KEY=vapid_key(),
        TOCSIN_VAPID_CONTACT="mailto:ops@example.org",
    )
    return start_server(variables, outbound_allow="127.0.0.0/8", webhook_http="on", **settings)


def vapid_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def set_address(producer: Producer, user: str, address: str, channel: str = "email") -> None:
    path = f"/v1/users/{user}/channels/{channel}/main"
    answer = producer.request("PUT", path, json={"address": address})
    assert answer.status_code == 204, answer.text


def sends(producer: Producer, notification: str) -> list[dict[str, Any]]:
    path = f"/v1/notifications/{notification}/sends"
    listed: list[dict[str, Any]] = expect_json(producer.request("GET", path))["sends"]
    return listed


def states(producer: Producer, notification: str) -> list[str]:
    return [each["state"] for each in sends(producer, notification)]


def as_user(server: Server, user: str, method: str, path: str, **options: Any) -> Any:
    return server.http.request(method, path, headers=bearer(token(user)), **options)
