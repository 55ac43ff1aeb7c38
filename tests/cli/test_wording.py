"""The program answers in the words of the person who typed: its name, its settings, its start."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from servers.node import ROOT, wait_until
from servers.tokens import SECRET
from tocsin.cli.trouble import Trouble

# --- Its name -------------------------------------------------------------------------------------


def run(
    *command: object,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("TOCSIN_", "_TOCSIN_"))
    }
    return subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=environment if env is None else env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_program_is_called_what_the_person_typed(tmp_path):
    script = tmp_path / "bin" / "tocsin"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom tocsin.cli import main\nmain()\n")
    script.chmod(0o755)
    plain = {"PATH": f"{script.parent}:{os.defpath}", "PYTHONPATH": str(ROOT)}
    wrong = ["token", "ada", "--data", "nowhere"]
    for command, environment, name in (
        ([sys.executable, "-m", "tocsin"], plain, "python -m tocsin"),
        ([script], plain | {"PATH": os.defpath}, str(script)),
        (["sh", "-c", f"tocsin {shlex.join(wrong)}"], plain, "tocsin"),
        (["sh", "-c", f"bin/tocsin {shlex.join(wrong)}"], plain, "bin/tocsin"),
        ([sys.executable, "-m", "tocsin"], {**plain, "_TOCSIN_PROGRAM": "../x/dev"}, "../x/dev"),
    ):
        rest = [] if command[0] == "sh" else wrong
        said = run(*command, *rest, env=environment, cwd=tmp_path).stderr
        assert f"start the server ({name} serve)" in said, said


def test_settings_that_are_wrong_are_told_in_the_persons_words(tmp_path):
    environment = {"PYTHONPATH": str(ROOT), "_TOCSIN_PROGRAM": "./dev", "TOCSIN_ZZZ": "1"}
    said = run(sys.executable, "-m", "tocsin", "config", "check", env=environment, cwd=tmp_path)
    assert "`./dev config docs` lists the settings" in said.stderr


def test_a_remedy_of_another_room_is_told_in_the_person_s_words_too(monkeypatch):
    monkeypatch.setenv("_TOCSIN_PROGRAM", "./dev")
    assert "do:    run `./dev migrate`" in Trouble("Wrong", "run `tocsin migrate`").message


# --- Starting the server --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--data", "file/below"], ["--database", "sqlite:///file/db"]]
)
def test_a_data_directory_that_cannot_be_ends_the_start_in_a_sentence(tmp_path, arguments):
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "tocsin", "serve", "--port", "0", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "TOCSIN_JWT_SECRET": SECRET}
    ended = run(*command, cwd=tmp_path, env=environment)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: The data directory cannot be written to: ")
    assert f"where: {tmp_path}/file" in ended.stderr
    assert "Traceback" not in ended.stderr


NOBODY = 65534

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can make what belongs to somebody else",
)


# Root that may do no more than its files' owner: Python itself may stand where only root may look.
NO_MORE_THAN_OWNER = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


@as_root
@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--port", "0"],
        ["token", "ada"],
        ["key", "list"],
        ["send", "ada", "Hello", "--wait", "0"],
        ["listen", "ada"],
        ["dead-letters", "list"],
        ["migrate"],
    ],
    ids=lambda command: command[0],
)
def test_a_folder_of_another_user_is_told_in_a_sentence(tmp_path, command):
    data = tmp_path / "tocsin-data"
    data.mkdir(mode=0o700)
    os.chown(data, NOBODY, NOBODY)
    ended = run(
        *NO_MORE_THAN_OWNER, sys.executable, "-m", "tocsin", *command,
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert re.search(r"do: +\w", ended.stderr), ended.stderr
    assert "tocsin-data" in ended.stderr
    assert "Permission denied" in ended.stderr


@as_root
def test_a_checkout_that_cannot_be_written_to_is_told(tmp_path):
    clone = tmp_path / "clone"
    (clone / "requirements").mkdir(parents=True)
    for name in ("dev", "requirements/run.txt"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    os.chown(clone, NOBODY, NOBODY)
    ended = run(*NO_MORE_THAN_OWNER, sys.executable, clone / "dev", "serve", cwd=clone)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith(f"./dev: {clone} cannot be written to (Permission denied)")


def test_the_data_directory_and_the_page_are_told_always(start):
    for log_format in ("console", "json"):
        server = start(log_format, TOCSIN_JWT_SECRET=SECRET, TOCSIN_LOG_FORMAT=log_format)
        server.settings["log-format"] = log_format
        server.start()
        log = server.directory / "log"
        wait_until(functools.partial(says, log, f"{server.url}/docs"), what="the page")
        assert says(log, str(server.settings["data"]))
        assert not says(log, "Bearer")


def says(log: Path, text: str) -> bool:
    return text in log.read_text()


# --- The other verbs ------------------------------------------------------------------------------


def test_the_benchmarks_are_listed_without_an_environment(tmp_path):
    from bench.__main__ import OF_A_CLUSTER, OF_BROKERS, OF_ONE_NODE
    from bench.cluster_scenarios import CLUSTER_SCENARIOS
    from bench.scenarios import SCENARIOS

    assert tuple(each for each in SCENARIOS if each not in OF_BROKERS) == OF_ONE_NODE
    assert set(OF_BROKERS) <= set(SCENARIOS)
    assert tuple(CLUSTER_SCENARIOS) == OF_A_CLUSTER
    clone = tmp_path / "clone"
    (clone / "bench").mkdir(parents=True)
    for name in ("dev", "bench/__init__.py", "bench/__main__.py"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    told = run(sys.executable, "-I", clone / "dev", "bench", "--help")
    assert told.returncode == 0, told.stderr
    assert "fan-out-acks-1000" in " ".join(told.stdout.split())
    assert sorted(path.name for path in clone.iterdir() if path.name[0] == ".") == []


def test_dev_suggests_its_own_verbs_too(tocsin):
    told = tocsin("simulat", _TOCSIN_VERBS="test simulate", _TOCSIN_PROGRAM="./dev")
    assert "Did you mean ./dev simulate?" in told.stderr
