"""The README's first session does what it says when it is pasted; what the documents name exists.

Its commands run as they stand there, in a shell, in a directory of their own. One thing is
different: the port, because 8080 may be taken. So `./dev` is a small script here that runs this
program and adds the port to the commands that need to know.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from servers.machine import free_port
from servers.node import PATIENCE, ROOT, wait_until
from servers.program import find_binary
from tocsin import __version__
from tocsin.protocol.closing import Closing
from tocsin.protocol.problems import PROBLEMS
from tocsin.server.admission.refusals import Reason
from tocsin.settings import SETTINGS

README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
OBSERVING = ROOT / "docs" / "observing.md"
SECURITY = ROOT / "docs" / "security.md"
DEV = """\
#!/bin/sh
verb=$1
shift
case $verb in
    serve) set -- "$@" --port {port} ;;
    listen | send) set -- "$@" --url http://127.0.0.1:{port} ;;
esac
exec {python} -P -m tocsin "$verb" "$@"
"""


def fences(heading: str, language: str) -> list[str]:
    """The code in *language* of the section under *heading*, block by block."""
    section = README.read_text().split(f"\n{heading}\n")[1]
    section = re.split(r"\n##+ ", section)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Terminal:
    """A shell in a directory; what it says goes to a file."""

    def __init__(self, directory: Path, name: str, port: int, shell: Sequence[str]) -> None:
        self._port = port
        self._said = directory / f"{name}.txt"
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith("TOCSIN_")
        }
        with self._said.open("wb") as said:
            # A group of its own, so that what it has started can be ended with it.
            self._shell = subprocess.Popen(
                shell,
                cwd=directory,
                # Without prompts, which would stand among what the commands say.
                env=environment | {"PYTHONPATH": str(ROOT), "PS1": "", "PS2": ""},
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def paste(self, commands: str) -> None:
        """Give the shell *commands*, as they stand in the README."""
        assert self._shell.stdin is not None
        commands = commands.replace("127.0.0.1:8080", f"127.0.0.1:{self._port}")
        self._shell.stdin.write(commands.encode())
        self._shell.stdin.flush()

    def paste_and_wait(self, commands: str) -> str:
        """As `paste`, until they are done; what they said."""
        before = len(self.said)
        self.paste(f"{commands}\necho; echo 'done:'$?\n")
        wait_until(lambda: "\ndone:" in self.said[before:], what=commands)
        said, _, code = self.said[before:].rpartition("\ndone:")
        assert code.strip() == "0", said
        return said.strip()

    @property
    def said(self) -> str:
        return self._said.read_text()

    def expect(self, text: str) -> None:
        wait_until(lambda: text in self.said, what=f"{text!r} in\n{self.said}")

    def close(self) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.wait(30)


class Desk:
    """Four terminals before a fresh clone."""

    def __init__(self, directory: Path, shell: Sequence[str]) -> None:
        self.port = free_port()
        dev = directory / "dev"
        dev.write_text(DEV.format(python=sys.executable, port=self.port))
        dev.chmod(0o755)
        self.first, self.second, self.third, self.fourth = (
            Terminal(directory, name, self.port, shell)
            for name in ("first", "second", "third", "fourth")
        )

    def close(self) -> None:
        for terminal in (self.fourth, self.third, self.second, self.first):
            terminal.close()


SHELLS = {
    "bash": [],
    # As people have it, interactive: there, what follows a `#` is no comment.
    "zsh": ["-f", "-i", "+m", "+o", "prompt_sp", "+o", "prompt_cr"],
}


@pytest.fixture(scope="module", params=SHELLS)
def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    shell = [find_binary(request.param), *SHELLS[request.param]]
    desk = Desk(tmp_path_factory.mktemp("clone"), shell)
    try:
        yield desk
    finally:
        desk.close()


def test_the_first_session_does_what_it_says(desk):
    serve, listen, send, post, ledger, inbox = fences("## A first session", "sh")

    # All at once, and the server is the last to be there.
    desk.second.paste(listen)
    desk.third.paste(send)
    for terminal in (desk.second, desk.third):
        terminal.expect("There is no installation in")
    desk.first.paste(serve)
    desk.first.expect(f"Tocsin {__version__} listens on http://127.0.0.1:{desk.port}")
    desk.second.expect("Listening to ada")
    desk.second.expect("default  Hello, Ada: Sent from the command line.")
    desk.third.paste_and_wait(post)
    desk.second.expect("builds  Build 41 is green")

    def acknowledged():
        [line] = json.loads(desk.third.paste_and_wait(ledger))["deliveries"]
        return line if line["outcome"] == "acknowledged" else None

    line = wait_until(acknowledged)
    assert line["user"] == "ada"
    assert line["device"].startswith("cli-")
    [shown] = fences("## A first session", "json")
    assert list(json.loads(shown)["deliveries"][0]) == list(line)

    notifications = json.loads(desk.third.paste_and_wait(inbox))["notifications"]
    assert [each["title"] for each in notifications] == ["Build 41 is green", "Hello, Ada"]


def test_the_client_for_a_browser_works(desk, tmp_path):
    node = shutil.which("node")
    look = 'process.exit(typeof WebSocket === "function" ? 0 : 1)'
    flag = "--experimental-websocket"
    if node is None or subprocess.run([node, flag, "-e", look], capture_output=True).returncode:
        pytest.skip("no Node.js with WebSocket on this machine")
    if "Listening" not in desk.second.said:
        pytest.skip("needs the session of the test before")
    [snippet] = fences("### A client of your own", "js")
    token = desk.third.paste_and_wait("./dev token ada")
    snippet = snippet.replace("what ./dev token ada prints", token.splitlines()[-1])
    snippet = snippet.replace("127.0.0.1:8080", f"127.0.0.1:{desk.port}")
    (tmp_path / "client.mjs").write_text(snippet)
    with (tmp_path / "said").open("wb") as said:
        client = subprocess.Popen([node, flag, tmp_path / "client.mjs"], stdout=said, stderr=said)
    try:
        expected = "Hello, Ada\nBuild 41 is green\n"
        wait_until(lambda: expected in (tmp_path / "said").read_text(), what=expected)
    finally:
        client.kill()
        client.wait()


def test_the_same_log_is_there_with_plain_curl(desk):
    if "Listening" not in desk.second.said:
        pytest.skip("needs the first session")
    stream, poll, mark, topic = fences("### The same log with plain curl", "sh")
    desk.fourth.paste(stream)
    desk.fourth.expect("event: synced")

    polled = json.loads(desk.third.paste_and_wait(poll).splitlines()[-1])
    assert [each["notification"]["title"] for each in polled["changes"]] == ["Still there?"]
    desk.fourth.expect("Still there?")

    marked = json.loads(desk.third.paste_and_wait(mark))
    assert (marked["changed"], marked["unread"]) == (3, 0)
    desk.fourth.expect('"change":"state"')

    published = json.loads(desk.third.paste_and_wait(topic))
    assert published["recipients"] == 1
    desk.fourth.expect("Version 2 is out")


@pytest.mark.parametrize("document", [README, OPERATIONS, SECURITY], ids=lambda path: path.name)
def test_the_links_of_a_document_lead_somewhere(document):
    targets = re.findall(r"\]\((?!http)([^)#]+)", document.read_text())
    assert targets
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_test_that_the_security_page_names_is_there():
    names = set(re.findall(r"`((?:tests|auth)/\w[\w/]*(?:\.py)?)`", SECURITY.read_text()))
    paths = {ROOT / re.sub("^auth/", "tests/server/auth/", name) for name in names}
    assert [path.name for path in paths if not path.exists()] == []


def test_the_table_of_metrics_is_complete(desk):
    if not desk.first.said:
        # Side by side with others, the tests above may run in another process.
        desk.first.paste("./dev serve\n")
        desk.first.expect("listens on")
    token = desk.third.paste_and_wait("./dev token root --scope admin").splitlines()[-1]
    url = f"http://127.0.0.1:{desk.port}/metrics"
    text = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE).text
    exposed = set(re.findall(r"^# TYPE (tocsin_\w+) ", text, re.MULTILINE))
    rows = re.findall(r"^\| (`tocsin_.*?) \|", OBSERVING.read_text(), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"tocsin_\w+", row)}
    assert exposed <= told
    # Of what this server does not have: Redis, webhooks, connectors, channels, a collector.
    absent = (
        *("spool", "redis", "sink", "ingest", "send", "escalations", "channel", "addresses"),
        "trace",
    )
    missing = {name.removeprefix("tocsin_") for name in told - exposed}
    assert {name for name in missing if not name.startswith(absent)} == set()


def test_every_setting_that_the_operations_name_exists():
    known = {each.name for each in SETTINGS}
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", OPERATIONS.read_text()))
    codes = {closing.word for closing in Closing} | set(PROBLEMS) | {str(each) for each in Reason}
    metrics = {word for word in words if word.startswith("tocsin_")}
    labels = {"spool_entry", "wrong_kind", "no_payload"}
    others = {"request_id", "expires_at", "left_out", "os_user"}
    others |= {"pg_dump", "pg_restore", "max_wal_size", "pg_stat_activity", "backend_xid"}
    assert words - known - codes - metrics - labels == others
