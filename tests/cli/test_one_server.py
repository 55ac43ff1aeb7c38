"""One SQLite file is for one server; what a tool does beside it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from servers.node import PATIENCE, ROOT, wait_until
from servers.tokens import ADMIN, bearer
from tests.cli.command_kit import last_line
from tests.system.server_kit import Server


@pytest.fixture
def own(tmp_path_factory):
    """A server that a test may take the database from."""
    server = Server(tmp_path_factory.mktemp("own"), {"drain-time": 0.2})
    try:
        yield server.start()
    finally:
        server.close()


def serve(*arguments, cwd):
    """`tocsin serve`, which is not to come up."""
    environment = {name: text for name, text in os.environ.items() if "TOCSIN" not in name}
    return subprocess.run(
        [sys.executable, "-m", "tocsin", "serve", *map(str, arguments)],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_server_says_who_has_the_database_and_what_to_do(server, tmp_path):
    refused = serve("--data", server.settings["data"], "--port", 0, cwd=tmp_path)

    assert refused.returncode == 1
    assert f"process {server.process.pid} on " in refused.stderr
    assert f"listening on 127.0.0.1 port {server.port}" in refused.stderr
    assert f"kill {server.process.pid}" in refused.stderr
    assert "Another port would not do" in refused.stderr
    assert str(server.settings["data"]) in refused.stderr
    assert "Traceback" not in refused.stderr
    assert server.is_ready()


def test_it_is_the_file_that_counts_and_not_the_directory(server, tmp_path):
    database = f"sqlite:///{Path(server.settings['data']) / 'tocsin.db'}"
    refused = serve("--data", tmp_path / "other", "--database", database, "--port=0", cwd=tmp_path)
    assert refused.returncode == 1
    assert "in use by" in refused.stderr


def test_tools_work_beside_a_server(server, beside):
    last_line(beside("key create", "--scope", "notify", "--name", "beside"))
    assert "beside" in beside("key list").stdout
    assert beside("migrate", "--check").exit_code == 0


def test_after_a_kill_the_next_server_starts(own):
    own.kill()
    own.start()
    assert own.is_ready()


def test_a_file_that_is_moved_under_the_server_is_told_once_and_comes_back(own):
    data = Path(own.settings["data"])
    size = own.log_size
    (data / "tocsin.db").rename(data / "moved.db")

    wait_until(lambda: not own.is_ready(), what="the server to notice")
    answer = httpx.get(f"{own.url}/readyz", timeout=PATIENCE)
    assert answer.status_code == 503
    assert answer.json()["hops"]["store"] == "lost"
    assert answer.json()["reason"] == (
        "the database's file was moved or removed while it was in use"
    )
    # Twice more it looks, and says nothing new.
    wait_until(lambda: tries(own) >= 3, what="the server to look again")
    log = (own.directory / "log").read_bytes()[size:].decode()
    assert log.count("was moved or removed") == 1
    assert not (data / "tocsin.db").exists()

    (data / "moved.db").rename(data / "tocsin.db")
    wait_until(own.is_ready, what="the server to find it again")
    assert "reason" not in httpx.get(f"{own.url}/readyz", timeout=PATIENCE).json()


def tries(server):
    metrics = httpx.get(f"{server.url}/metrics", headers=bearer(ADMIN), timeout=PATIENCE).text
    [line] = [each for each in metrics.splitlines() if each.startswith("tocsin_store_failures")]
    return float(line.split()[-1])


# --- A tool that looks does not migrate -----------------------------------------------------------


@pytest.fixture
def older(tocsin, tmp_path):
    """A database to which the newest migration was not applied, as far as it says."""
    assert tocsin("migrate").exit_code == 0
    path = tmp_path / "tocsin-data" / "tocsin.db"
    database = sqlite3.connect(path)
    with database:
        database.execute(
            "DELETE FROM migrations WHERE number = (SELECT max(number) FROM migrations)"
        )
    database.close()
    return path


def applied(path):
    database = sqlite3.connect(path)
    [[count]] = database.execute("SELECT count(*) FROM migrations").fetchall()
    database.close()
    return count


@pytest.mark.parametrize(
    "command", ["key list", "key create --scope notify", "key revoke aaaaaaaaaaaaaaaa"]
)
def test_a_tool_leaves_an_older_database_alone_and_says_what_is_missing(tocsin, older, command):
    before = applied(older)
    result = tocsin(*command.split())

    assert result.exit_code == 1
    assert re.search(r"of an older release: migration 00\d\d", result.stderr)
    assert "tocsin migrate" in result.stderr
    assert applied(older) == before


@pytest.mark.parametrize("command", ["key list", "key create --scope notify"])
def test_a_tool_makes_no_database(tocsin, tmp_path, command):
    result = tocsin(*command.split())
    assert result.exit_code == 1
    assert "There is no database of Tocsin yet" in result.stderr
    assert "tocsin serve" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_tool_leaves_an_empty_postgres_alone(tocsin, postgres_url):
    for _ in range(2):
        result = tocsin("key", "list", TOCSIN_DATABASE=postgres_url)
        assert result.exit_code == 1
        assert "There is no database of Tocsin yet" in result.stderr
