"""`tocsin webhook`."""

from __future__ import annotations

import json

import pytest

from tests.system.receiver_kit import OPEN, Receiver
from tests.system.server_kit import Server


@pytest.fixture(scope="module")
def sender(tmp_path_factory):
    secretless = {"TOCSIN_JWT_SECRET": ""}
    server = Server(tmp_path_factory.mktemp("sender"), OPEN, environment=secretless).start()
    yield server
    server.close()
    server.expect_no_bugs()


@pytest.fixture
def webhook(sender, tocsin):
    """Runs a command of the group beside the server."""

    def webhook(command, *arguments):
        where = ["--url", sender.url, "--data", sender.settings["data"]]
        return tocsin("webhook", command, *arguments, *where)

    return webhook


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def made(webhook, receiver):
    """The id of a webhook."""
    created = webhook("create", receiver.url, "--event", "read", "--category", "orders")
    assert created.exit_code == 0, created.output
    lines = created.stdout
    id_, secret = [line.split()[1] for line in lines.splitlines()]
    assert secret.startswith("whsec_")
    yield id_
    webhook("delete", id_)


def test_one_is_made_listed_shown_and_removed(webhook, receiver, made):
    heading, row = webhook("list").stdout.splitlines()
    assert heading.split() == ["ID", "STATE", "BEHIND", "EVENTS", "URL", "REASON"]
    assert row.split() == [made, "active", "0", "read", receiver.url, "-"]
    shown = json.loads(webhook("show", made).stdout)
    assert (shown["events"], shown["categories"]) == (["read"], ["orders"])
    assert webhook("delete", made).stdout == "It is removed.\n"
    assert webhook("list").stderr == "There are none.\n"


def test_one_is_tested(webhook, receiver, made):
    assert json.loads(webhook("test", made).stdout)["status"] == 204
    assert json.loads(receiver.asked[0][2])["type"] == "test"


def test_one_is_paused_enabled_rewound_and_gets_another_secret(webhook, made):
    assert webhook("pause", made).stdout == "It is paused, and keeps its place.\n"
    assert json.loads(webhook("show", made).stdout)["state"] == "paused"
    assert webhook("enable", made).stdout == "It goes on where it stopped.\n"
    assert webhook("rewind", made, "2026-01-01T00:00:00Z").stdout.startswith("0 places")
    assert webhook("rotate", made, "--overlap", "0").stdout.startswith("whsec_")
    assert json.loads(webhook("letters", made).stdout) == {"letters": [], "next": None}


def test_a_command_that_cannot_be_done_says_why(webhook, made):
    refused = webhook("create", "http://10.0.0.1/")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "10.0.0.1" in refused.stderr
    missing = webhook("show", "0198f0a8-5c1e-7d3a-9b64-2f1c80a7e5d1")
    assert "see `webhook list`" in missing.stderr
    assert "404" in webhook("replay", made, "7").stderr
