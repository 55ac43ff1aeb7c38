"""`tocsin sink`."""

from __future__ import annotations

import json

import pytest

from servers.machine import free_port
from servers.node import wait_until
from tests.system.server_kit import Server


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A server with a sink whose broker is away."""
    table = {"kind": "redis", "url": f"redis://127.0.0.1:{free_port()}/0", "stream": "receipts"}
    environment = {"TOCSIN_JWT_SECRET": "", "TOCSIN_SINKS": json.dumps({"audit": table})}
    server = Server(tmp_path_factory.mktemp("node"), {}, environment=environment).start()
    yield server
    server.close()
    server.expect_no_bugs()


@pytest.fixture
def sink(node, tocsin):
    def sink(command, *arguments):
        where = ["--url", node.url, "--data", node.settings["data"]]
        return tocsin("sink", command, *arguments, *where)

    return sink


def test_a_sink_is_listed_paused_enabled_and_rewound(sink):
    # A node that has just been started makes its sinks once the store is there.
    heading, row = wait_until(lambda: sink("list").stdout.splitlines(), what="the sink")
    assert heading.split() == ["NAME", "KIND", "STATE", "BEHIND", "LOST", "REASON"]
    assert row.split() == ["audit", "redis", "active", "0", "0", "-"]
    assert sink("pause", "audit").stdout == "audit is paused.\n"
    assert sink("list").stdout.splitlines()[1].split()[2] == "paused"
    assert sink("enable", "audit").stdout == "audit goes on.\n"
    rewound = sink("rewind", "audit", "2020-01-01T00:00:00Z")
    assert rewound.stdout == "audit begins again at 2020-01-01T00:00:00Z.\n"


def test_a_sink_that_is_not_there_is_an_error(sink):
    missing = sink("pause", "other")
    assert missing.exit_code == 1
    assert "see `sink list`" in missing.stderr
    assert sink("pause", "No").exit_code == 2
    assert sink("rewind", "audit", "yesterday").exit_code == 1


def test_without_sinks_it_says_so(server, tocsin):
    listed = tocsin("sink", "list", "--url", server.url, "--data", server.settings["data"])
    assert (listed.exit_code, listed.stderr) == (0, "There are none.\n")
