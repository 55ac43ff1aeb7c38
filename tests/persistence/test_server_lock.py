"""The lock of a database's file: held by a process, and no longer than that lives."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tocsin.persistence.sqlite.server_lock import Holder, Locked, ServerLock, find_holder, path_of

ROOT = Path(__file__).parents[2]
HOLDER = Holder(
    program="tocsin serve", pid=7, machine="here", host=["::1"], port=80, since=1_700_000_000_000
)

PROCESS = """
import sys, time
from pathlib import Path
from tests.persistence.test_server_lock import HOLDER
from tocsin.persistence.sqlite.server_lock import ServerLock
lock = ServerLock(Path(sys.argv[1]), HOLDER)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_is_told_who_has_it(tmp_path):
    lock = ServerLock(tmp_path / "a.db", HOLDER)

    with pytest.raises(
        Locked, match="`tocsin serve`, process 7 on here, since 2023-11-14 22:13:20"
    ):
        ServerLock(tmp_path / "a.db", HOLDER)
    found = find_holder(tmp_path / "a.db")
    assert found is not None
    assert found.holder == HOLDER
    assert "listening on ::1 port 80" in str(found)

    lock.release()
    assert find_holder(tmp_path / "a.db") is None
    ServerLock(tmp_path / "a.db", HOLDER).release()


def test_it_is_one_for_all_names_of_a_file(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "b.db").symlink_to("real/a.db")
    lock = ServerLock(tmp_path / "linked" / "a.db", HOLDER)

    assert find_holder(tmp_path / "real" / "a.db") is not None
    assert find_holder(tmp_path / "b.db") is not None
    assert find_holder(tmp_path / "real" / "b.db") is None
    lock.release()


def test_it_ends_with_its_process_however_that_ends(tmp_path):
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "a.db")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert find_holder(tmp_path / "a.db") is not None

    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert find_holder(tmp_path / "a.db") is None
    ServerLock(tmp_path / "a.db", HOLDER).release()


def test_a_look_at_the_lock_makes_no_file_and_keeps_no_server_out(tmp_path):
    assert find_holder(tmp_path / "a.db") is None
    assert not list(tmp_path.iterdir())
    ServerLock(tmp_path / "a.db", HOLDER).release()

    stop = threading.Event()

    def look():
        while not stop.is_set():
            find_holder(tmp_path / "a.db")

    looks = threading.Thread(target=look)
    looks.start()
    try:
        for _ in range(20):
            ServerLock(tmp_path / "a.db", HOLDER).release()
    finally:
        stop.set()
        looks.join()


def test_the_file_is_private_and_what_it_says_may_be_anything(tmp_path):
    lock = ServerLock(tmp_path / "a.db", HOLDER)
    path = path_of(tmp_path / "a.db")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    path.write_bytes(b"\xff" * 10_000)
    found = find_holder(tmp_path / "a.db")
    assert found is not None
    assert found.holder is None
    lock.release()
    assert os.path.getsize(path) == 0
