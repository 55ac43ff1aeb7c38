"""Secrets in the database, with `secrets_key`: sealed, read, and read on through a rotation."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from servers.node import wait_until
from tests.system.channel_kit import environment, sends, set_address, states
from tests.system.producer_kit import expect_json
from tests.system.receiver_kit import OPEN, Hooks, Receiver, verified
from tests.system.server_kit import Server, fresh_user

AT_ONCE = [{"after": 0, "channel": "pager"}]


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def kept(server: Server, query: str) -> list[str]:
    path = Path(str(server.settings["data"])) / "tocsin.db"
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute(query)]


def restart(server: Server, *keys: str) -> None:
    server.stop()
    server.environment["TOCSIN_SECRETS_KEY"] = ",".join(keys)
    server.start()


def is_signed(hooks: Hooks, hook: dict[str, Any], receiver: Receiver) -> bool:
    """Whether a trial is taken, and signed with the secret that was shown once."""
    before = len(receiver.asked)
    assert hooks.do(hook, "test")["status"] == 204
    # Receipts of what is sent meanwhile come here as well.
    trials = [each for each in receiver.asked[before:] if json.loads(each[2])["type"] == "test"]
    [(_, headers, body)] = trials
    return verified(hook["secret"], headers, body)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def test_secrets_are_sealed_and_read_on_through_a_rotation(
    start_server: Callable[..., Server], receiver: Receiver
):
    pager = {"kind": "webhook", "url": receiver.url, "secret": "whsec_" + new_key()}
    server = start_server(environment({"pager": pager}), **OPEN)
    hooks, shop = Hooks(server), server.producer()
    ada, bob = fresh_user(), fresh_user("bob")
    plain = hooks.make(receiver.url)
    set_address(shop, ada, "duty-ada", "pager")
    first, second = new_key(), new_key()

    restart(server, first)
    sealed = hooks.make(receiver.url)
    set_address(shop, bob, "duty-bob", "pager")
    texts = kept(server, "SELECT secrets FROM sinks WHERE kind = 'webhook' ORDER BY created_at, id")
    assert [each.count("sealed:") for each in texts] == [0, 1]
    assert sealed["secret"] not in texts[1]
    values = sorted(kept(server, "SELECT value FROM addresses"))
    assert (values[0], values[1][:7]) == ("duty-ada", "sealed:")

    restart(server, second, first)
    assert is_signed(hooks, plain, receiver)
    assert is_signed(hooks, sealed, receiver)
    made = shop.post(ada, bob, escalate=AT_ONCE)
    wait_until(lambda: states(shop, made) == ["sent", "sent"], what="both sends")
    listed = expect_json(shop.request("GET", f"/v1/users/{bob}/channels"))["addresses"]
    assert [each["address"] for each in listed] == ["duty-bob"]

    # Without the key that they were sealed with, secrets are not guessed, and the rest goes on.
    restart(server, second)
    assert hooks.do(sealed, "test")["error"] == (
        "it was sealed with a key that `secrets_key` does not have"
    )
    assert is_signed(hooks, plain, receiver)
    late = shop.post(bob, escalate=AT_ONCE)
    wait_until(
        lambda: [each["attempts"] for each in sends(shop, late)] == [1], what="a failed attempt"
    )
    assert states(shop, late) == ["waiting"]
    fresh = hooks.do(sealed, "rotate")["secret"]
    assert is_signed(hooks, {**sealed, "secret": fresh}, receiver)
