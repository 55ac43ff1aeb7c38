"""docs/clients.md: the token that each backend's snippet signs is one that a node believes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from servers.node import ROOT
from servers.tokens import SECRET, bearer
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server

SNIPPET = re.compile(r"```(\w+) token\n(.*?)```", re.DOTALL)
SNIPPETS = dict(SNIPPET.findall((ROOT / "docs" / "clients.md").read_text()))
COMMANDS = {
    "python": ("sign.py", [sys.executable]),
    "javascript": ("sign.cjs", ["node"]),
    "go": ("sign.go", ["go", "run"]),
    "php": ("sign.php", ["php"]),
    "java": ("Token.java", ["java"]),
}
"""By language: the file's name, and the command that runs it."""


@pytest.fixture(scope="session")
def server(sqlite_servers) -> Server:
    shared: Server = sqlite_servers.get("server", {})
    return shared


def test_there_is_a_snippet_for_each_of_five_backends():
    assert SNIPPETS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("language", COMMANDS)
def test_a_node_believes_its_token(server, tmp_path, ada, language):
    name, command = COMMANDS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} on this machine")
    (tmp_path / name).write_text(SNIPPETS[language])
    environment = {**os.environ, "TOCSIN_JWT_SECRET": SECRET}
    done = subprocess.run(
        [*command, str(tmp_path / name), ada],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    server.producer().post(ada)
    answer = server.http.get("/v1/inbox", headers=bearer(done.stdout.strip()))
    assert expect_json(answer)["unread"] == 1
