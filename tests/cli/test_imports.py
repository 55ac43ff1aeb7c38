"""What is optional is not loaded by a process that does not use it: a node, or a command, for each
of which a person waits.

The interpreter itself says what it loads (PYTHONPROFILEIMPORTTIME).
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from servers.node import PATIENCE, ROOT, Node

NOWHERE = "http://127.0.0.1:9"
PROFILED = {"PYTHONPROFILEIMPORTTIME": "1"}

LANE = ("quart", "quart_trio", "flask", "werkzeug", "jinja2", "hypercorn")
"""Of requests that come seldom: loaded by the first of them."""
BROKERS = ("aio_pika", "aiormq", "aiokafka", "apprise", "tocsin.persistence.brokers")
CLUSTER = (
    *("asyncpg", "redis", "trio_asyncio"),
    *("tocsin.persistence.postgres", "tocsin.persistence.redis", "tocsin.persistence.asyncio_loop"),
)
CLIENT = ("httpx", "httpcore", "anyio", "tocsin_client", "tocsin.client")
TOKENS = ("jwt", "cryptography")
SERVER = ("tocsin.node", "tocsin.trunk", "tocsin.server.api", "tocsin.server.http", "structlog")

NODE = (
    *(*LANE, *BROKERS, *CLUSTER, *CLIENT, "h2", "prometheus_client"),
    *("tocsin.carriers", "tocsin.server.api.specs.openapi", "smtplib", "pydoc", "unittest"),
)
HELP = (*NODE, *TOKENS, *SERVER, "trio", "msgspec", "tocsin.settings", "tocsin.persistence")
SEND = (*LANE, *BROKERS, *CLUSTER, *TOKENS, *SERVER, "tocsin.persistence", "tocsin.actors")
KEY = (*NODE, *TOKENS, *(each for each in SERVER if each not in ("tocsin.server.api", "structlog")))


def loaded(said: str) -> set[str]:
    """The modules that the interpreter *said* it loads, and the packages that they are in."""
    lines = [line for line in said.splitlines() if line.startswith("import time:")]
    names = {line.rsplit("|", 1)[-1].strip() for line in lines}
    return {each.rsplit(".", count)[0] for each in names for count in range(each.count(".") + 1)}


def test_a_node_with_a_file_loads_nothing_that_it_does_not_use(tmp_path):
    node = Node(tmp_path, environment=PROFILED)
    try:
        node.start()
        modules = loaded((tmp_path / "log").read_text())
    finally:
        node.close()

    assert "tocsin.node" in modules
    assert not modules.intersection(NODE)


@pytest.mark.parametrize(
    ("typed", "code", "needless"),
    [
        (["--help"], 0, HELP),
        (["send", "--help"], 0, SEND),
        (f"send ada Hi --token t --url {NOWHERE} --wait 0".split(), 1, SEND),
        (["key", "list"], 1, KEY),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, list) else "",
)
def test_a_command_loads_nothing_that_it_does_not_use(tmp_path, typed, code, needless):
    environment = {name: text for name, text in os.environ.items() if "TOCSIN" not in name}
    ended = subprocess.run(
        [sys.executable, "-m", "tocsin", *typed],
        cwd=tmp_path,
        env={**environment, **PROFILED, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    modules = loaded(ended.stderr)

    assert ended.returncode == code, ended.stdout
    assert "tocsin.cli" in modules
    assert not modules.intersection(needless)
