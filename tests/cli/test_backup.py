"""`tocsin backup` and `tocsin restore`, beside servers that run and where none does."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from servers.postgres_binaries import find_binaries
from tests.cli.command_kit import last_line
from tests.system.server_kit import Server, fresh_user
from tocsin.persistence.sqlite.server_lock import Holder, ServerLock


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request):
    return request.param


@pytest.fixture
def own(kind, request, tmp_path, tmp_path_factory, monkeypatch):
    """A server of each kind that a test may stop, and whose database it may replace."""
    settings = {"drain-time": 0.2}
    if kind == "postgres":
        settings["database"] = request.getfixturevalue("postgres_url")
        monkeypatch.setenv("PATH", f"{find_binaries()}:{os.environ['PATH']}")
    server = Server(tmp_path_factory.mktemp("own"), settings)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def run(tocsin, own):
    """`tocsin` on the server's database."""
    where = [
        f"--{name}={own.settings[name]}" for name in ("data", "database") if name in own.settings
    ]
    return lambda *arguments: tocsin(*arguments, *where)


def test_a_backup_of_a_running_server_comes_back_in_a_new_epoch(own, run, tmp_path, kind):
    user = fresh_user()
    own.producer().post(user, title="before")
    with own.device(user) as device:
        device.ack(device.expect_push("before"))
        device.expect_synced()
        cursor = device.welcome["cursor"]

    made = run("backup", tmp_path / "kept.db")
    assert last_line(made) == str(tmp_path / "kept.db")
    assert "1 users, 1 notifications" in made.stderr
    assert stat.S_IMODE((tmp_path / "kept.db").stat().st_mode) == 0o600
    own.producer().post(user, title="after")

    refused = run("restore", tmp_path / "kept.db", "--replace")
    assert refused.exit_code == 1
    assert ("in use by" if kind == "sqlite" else "stop the nodes first") in refused.stderr
    own.stop()
    unasked = run("restore", tmp_path / "kept.db")
    assert (unasked.exit_code, "give --replace" in unasked.stderr) == (1, True)
    for _ in range(2):
        assert run("restore", tmp_path / "kept.db", "--replace").exit_code == 0

    own.start()
    with own.device(user, cursor=cursor) as device:
        device.expect("reset")
        assert device.expect_push()["notification"]["title"] == "before"
        device.expect_synced()
    own.producer().post(user, title="goes on")


def test_in_a_directory_it_is_named_by_the_time_and_none_is_ever_replaced(run, tmp_path, kind):
    (tmp_path / "backups").mkdir()
    name = last_line(run("backup", tmp_path / "backups"))
    assert Path(name).parent == tmp_path / "backups"
    assert name.endswith(".db" if kind == "sqlite" else ".dump")

    before = Path(name).read_bytes()
    refused = run("backup", name)
    assert (refused.exit_code, "exists" in refused.stderr) == (1, True)
    assert Path(name).read_bytes() == before
    assert [each.name for each in (tmp_path / "backups").iterdir()] == [Path(name).name]


def test_a_damaged_or_foreign_file_is_refused_and_nothing_is_changed(own, run, tmp_path, kind):
    last_line(run("backup", tmp_path / "kept"))
    own.stop()
    whole = (tmp_path / "kept").read_bytes()
    (tmp_path / "short").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other").write_bytes(b"PGDMP" if kind == "sqlite" else b"SQLite format 3\x00")
    for name in ("short", "other"):
        refused = run("restore", tmp_path / name, "--replace")
        assert refused.exit_code == 1, name
        assert "Traceback" not in refused.output
    assert run("key", "list").exit_code == 0
    own.start()


def test_a_backup_that_fails_leaves_nothing(run, own, tmp_path, monkeypatch, kind):
    own.stop()
    if kind == "postgres":
        monkeypatch.setenv("PATH", "/nowhere")
        failed = run("backup", tmp_path / "kept")
        assert "pg_dump is not on this machine's PATH" in failed.stderr
        assert "postgresql-client" in failed.stderr
    else:
        with (Path(own.settings["data"]) / "tocsin.db").open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 8192)
        failed = run("backup", tmp_path / "kept")
    assert failed.exit_code == 1
    assert not list(tmp_path.glob("*kept*"))
    assert "Traceback" not in failed.output


def test_the_former_file_is_kept_whole_beside_the_restored_one(tocsin, tmp_path):
    tocsin("migrate")
    data = tmp_path / "tocsin-data"
    last_line(tocsin("backup", tmp_path / "kept"))
    key = last_line(tocsin("key", "create", "--scope", "notify"))

    restored = tocsin("restore", tmp_path / "kept", "--replace")

    assert restored.exit_code == 0
    [former] = data.glob("tocsin.db.before-*")
    assert str(former) in restored.stderr
    former_keys = sqlite3.connect(former).execute("SELECT id FROM api_keys").fetchall()
    assert [key.split("_")[1]] == [row[0] for row in former_keys]
    assert stat.S_IMODE((data / "tocsin.db").stat().st_mode) == 0o600
    assert "There are no keys" in tocsin("key", "list").stderr


def test_no_server_starts_on_what_is_being_restored(tocsin, tmp_path):
    tocsin("migrate")
    last_line(tocsin("backup", tmp_path / "kept"))
    lock = ServerLock(
        tmp_path / "tocsin-data" / "tocsin.db", Holder(program="tocsin restore", pid=7, machine="x")
    )
    refused = tocsin("restore", tmp_path / "kept", "--replace")
    assert "in use by `tocsin restore`, process 7" in refused.stderr
    lock.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_files_that_root_restores_belong_to_the_server(tocsin, tmp_path):
    tocsin("migrate")
    data = tmp_path / "tocsin-data"
    last_line(tocsin("backup", tmp_path / "kept"))
    os.chown(data, 65534, 65534)
    os.chown(data / "tocsin.db", 65534, 65534)

    assert tocsin("restore", tmp_path / "kept", "--replace").exit_code == 0

    owners = {each.name: each.stat().st_uid for each in data.iterdir()}
    assert set(owners) >= {"tocsin.db", "tocsin.db-lock"}
    assert set(owners.values()) == {65534}


@pytest.mark.parametrize("command", ["backup b", "vacuum", "copy --to sqlite:///b"])
def test_a_postgres_that_is_away_is_told_without_its_password(tocsin, tmp_path, command):
    url = "postgres://tocsin:hunter2@127.0.0.1:1/tocsin"
    result = tocsin(*command.split(), TOCSIN_DATABASE=url)
    assert result.exit_code == 1
    assert "postgres://********@127.0.0.1:1/tocsin" in result.stderr
    assert "see that Postgres runs" in result.stderr
    assert "hunter2" not in result.output
    assert not (tmp_path / "b").exists()
