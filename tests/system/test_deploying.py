"""The files of deploy/, each run as it is shipped, with clients that are not ours before it."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from servers import traefik
from servers.machine import free_port
from servers.node import wait_until
from servers.program import Program, find_binary
from servers.tokens import bearer, token
from tests.system.plain_http_kit import stream, try_poll
from tests.system.producer_kit import expect_json
from tests.system.proxy_kit import (
    DEPLOY,
    Through,
    Traffic,
    node_of,
    shipped_caddy,
    shipped_haproxy,
    shipped_nginx,
    shipped_traefik,
)
from tests.system.server_kit import Server
from tests.system.shared_servers_kit import run_server
from tocsin.settings import Settings

CLIENT = "127.0.0.77"
"""Another of this machine's addresses, to be told from the proxy's own."""
POLL = 60
"""Seconds; the node answers after `poll_wait_max` (50 s), before any proxy gives it up."""

NEEDS_TRAEFIK = pytest.mark.skipif(
    not traefik.is_there(), reason="traefik is not on PATH, and Debian has no package of it"
)
PROXIES = ["nginx", "haproxy", "caddy", pytest.param("traefik", marks=NEEDS_TRAEFIK)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As the files expect it: behind a proxy on the same machine."""
    settings = {"forwarded-from": "127.0.0.1", "access-log": "on"}
    yield from run_server(Server(tmp_path_factory.mktemp("node"), settings))


def place(name: str, directory: Path, node: Server) -> tuple[Program, str]:
    """The proxy, which is not started yet, and its URL."""
    directory.mkdir()
    if name == "nginx":
        port = free_port()
        return shipped_nginx(directory, port, node_of(node)), f"https://127.0.0.1:{port}"
    makers: dict[str, Callable[[Path, str], Program]] = {
        "haproxy": shipped_haproxy,
        "caddy": shipped_caddy,
        "traefik": shipped_traefik,
    }
    proxy = makers[name](directory, node_of(node))
    return proxy, proxy.url


@pytest.fixture(params=PROXIES)
def front(request: pytest.FixtureRequest, tmp_path: Path, node: Server) -> Iterator[Through]:
    proxy, url = place(request.param, tmp_path / "proxy", node)
    with proxy:
        front = Through(url, http2=True)
        try:
            wait_until(front.is_reached, what=f"the proxy, see {proxy.log}")
            yield front
        finally:
            front.close()


def test_everything_goes_through_it_over_tls(front: Through):
    assert front.http.get("/livez").http_version == "HTTP/2"
    traffic = Traffic(front, random.Random(14))
    try:
        traffic.run(40)
    finally:
        traffic.close()


def test_events_are_not_held_back(front: Through, node: Server, ada: str):
    """Not until a buffer is full, nor for a moment."""
    with stream(front, ada, device="tab") as events:
        events.expect_live()
        waits = []
        for number in range(5):
            since = time.monotonic()
            node.producer().post(ada, title=f"{number}")
            events.expect_push(f"{number}")
            waits.append(time.monotonic() - since)
        assert sorted(waits)[2] < 1, waits


def test_the_node_sees_the_clients_address_and_believes_no_other(
    front: Through, node: Server, ada: str
):
    since = node.log_size
    transport = httpx.HTTPTransport(local_address=CLIENT, verify=False)
    with httpx.Client(transport=transport) as http:
        expect_json(
            http.get(
                f"{front.url}/v1/me/devices",
                headers={**bearer(token(ada)), "X-Forwarded-For": "203.0.113.9"},
            )
        )

    def seen() -> list[str]:
        lines = node.log(since)
        return [line["address"] for line in lines if line.get("route") == "/v1/me/devices"]

    assert wait_until(seen, what="the access log") == [CLIENT]


def test_a_poll_of_a_minute_is_answered_through_all_of_them(tmp_path: Path, node: Server, ada: str):
    """Side by side, since it takes as long as it says."""
    names = [name for name in PROXIES if isinstance(name, str)]
    if traefik.is_there():
        names.append("traefik")
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        polls = []
        for name in names:
            proxy, url = place(name, tmp_path / name, node)
            stack.enter_context(proxy)
            front = Through(url)
            stack.callback(front.close)
            wait_until(front.is_reached, what=f"{name}, see {proxy.log}")
            polls.append(
                pool.submit(try_poll, front, ada, device=name, wait=POLL, patience=POLL + 10)
            )
        for name, poll in zip(names, polls, strict=True):
            assert expect_json(poll.result())["changes"] == [], name


def test_the_page_shows_the_files_as_they_are():
    page = (DEPLOY.parent / "docs" / "deploying.md").read_text()
    shown = set(re.findall(r"^```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    for file in filter(Path.is_file, DEPLOY.iterdir()):
        assert file.read_text() in shown, file.name


def test_systemd_understands_the_unit_and_keeps_the_server_apart():
    analyze = find_binary("systemd-analyze", "systemd")
    unit = DEPLOY / "tocsin.service"
    for asked in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(
            [analyze, *asked, unit], capture_output=True, text=True, timeout=60, check=False
        )
        # It looks for the program, which is installed elsewhere than here.
        complaints = [line for line in done.stderr.splitlines() if "not executable" not in line]
        assert not complaints, complaints
        assert asked[0] == "verify" or done.returncode == 0, done.stdout


def test_the_unit_waits_for_goodbyes_and_has_room_for_all_connections():
    unit = dict(
        line.split("=", 1)
        for line in (DEPLOY / "tocsin.service").read_text().splitlines()
        if re.match(r"(TimeoutStopSec|LimitNOFILE)=", line)
    )
    assert int(unit["TimeoutStopSec"]) > Settings().drain_time + 5
    assert int(unit["LimitNOFILE"]) > 2 * Settings().connections_max
