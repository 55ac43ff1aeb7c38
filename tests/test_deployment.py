"""What is shipped to run a cluster with: the compose file and the balancer's configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.servers.haproxy import CONFIGURATION, find_binary
from tocsin.kinds import read_duration
from tocsin.settings import SETTINGS, Settings

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docker-compose.yml"
NODES = ["node-1", "node-2", "node-3"]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return services


def test_compose_understands_the_file():
    compose = compose_command()
    if compose is None:
        # Where there is no compose, at least it is YAML, and says nothing twice.
        yaml.safe_load(FILE.read_text())
        return
    environment = {**os.environ, "TOCSIN_JWT_SECRET": "s" * 32}
    checked = subprocess.run(
        [*compose, "-f", str(FILE), "config", "--quiet"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def compose_command() -> list[str] | None:
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def test_every_setting_in_it_exists(services):
    known = {setting.variable for setting in SETTINGS}
    for name in (*NODES, "migrate"):
        given = {each for each in services[name]["environment"] if each.startswith("TOCSIN_")}
        assert given <= known


def test_nodes_start_when_the_tables_are_made_and_have_names_of_their_own(services):
    for name in NODES:
        node = services[name]
        assert node["environment"]["TOCSIN_NODE"] == name
        assert node["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert node["depends_on"]["redis"]["condition"] == "service_healthy"
    assert services["migrate"]["command"] == ["migrate"]
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_nobody_is_killed_who_is_still_saying_goodbye(services):
    for name in (*NODES, "haproxy"):
        assert read_duration(services[name]["stop_grace_period"]) > Settings().drain_time + 5


def test_the_balancer_knows_the_nodes(services):
    environment = services["haproxy"]["environment"]
    assert [environment[f"NODE_{number}"] for number in (1, 2, 3)] == [
        f"{name}:8080" for name in NODES
    ]
    assert "./cluster/haproxy.cfg:" in services["haproxy"]["volumes"][0]


def test_haproxy_understands_its_configuration():
    checked = subprocess.run(
        [find_binary("haproxy"), "-c", "-f", str(CONFIGURATION)],
        env={"BIND": ":8080", **{f"NODE_{number}": "127.0.0.1:1" for number in (1, 2, 3)}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr, checked.stderr


def test_the_balancer_waits_longer_than_anything_of_ours_is_silent():
    for kind in ("client", "server", "tunnel"):
        assert timeout(kind) > max(60, Settings().heartbeat), "long polls and heartbeats"


def test_the_balancer_notices_a_leaving_node_in_its_notice():
    options = CONFIGURATION.read_text()
    inter = re.search(r"inter (\w+) fastinter (\w+) fall 2", options)
    assert inter is not None
    noticed = read_duration(inter[1]) + read_duration(inter[2])
    cluster = Settings(redis="redis://cache", database="postgres://db/tocsin")
    assert noticed < cluster.drain_notice_time / 2


def timeout(kind: str) -> float:
    found = re.search(rf"^ +timeout {kind} +(\w+)$", CONFIGURATION.read_text(), re.MULTILINE)
    assert found is not None
    return read_duration(found[1])
