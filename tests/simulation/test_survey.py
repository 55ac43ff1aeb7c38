"""A survey of many seeds leaves no process behind when its parent is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds to wait for things that take one or two on a quiet machine."""


def children_of(pid: int) -> list[int]:
    """The child processes of *pid*."""
    every = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [each for each in every if parent_of(each) == pid]


def parent_of(pid: int) -> int | None:
    """The parent of *pid*; `None` if there is no such process, or it is a zombie."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(parent)


def wait_until(what):
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # waits for: other processes, which do not report


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_workers_of_a_survey_end_with_it(how):
    command = [sys.executable, "-m", "simulation", "--runs", "100000", "--duration", "10"]
    quiet = subprocess.DEVNULL
    workers: list[int] = []
    with subprocess.Popen(
        [*command, "--processes", "2", "--no-shrink"], cwd=ROOT, stdout=quiet, stderr=quiet
    ) as survey:
        try:
            # Two workers, and multiprocessing's resource tracker.
            wait_until(lambda: len(children_of(survey.pid)) >= 3)
            workers = children_of(survey.pid)
            survey.send_signal(how)
            survey.wait(PATIENCE)
            wait_until(lambda: not any(parent_of(each) for each in workers))
        finally:
            survey.kill()
            for each in workers:
                if parent_of(each) is not None:
                    os.kill(each, signal.SIGKILL)
