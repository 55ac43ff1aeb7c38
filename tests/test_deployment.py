"""The files that are shipped to run a cluster with: compose file, roles and balancer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest
import redis
import yaml  # type: ignore[import-untyped]

from servers.haproxy import CONFIGURATION
from servers.program import find_binary
from servers.redis import Redis, execute
from tocsin.settings import SETTINGS, Settings
from tocsin.settings.kinds import read_duration

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
    environment = {**os.environ, "TOCSIN_SECRETS": "./secrets"}
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
        assert {each.removesuffix("_FILE") for each in given} <= known


def test_nodes_start_when_the_tables_are_made_and_have_names_of_their_own(services):
    for name in NODES:
        node = services[name]
        assert node["environment"]["TOCSIN_NODE"] == name
        assert node["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert node["depends_on"]["redis"]["condition"] == "service_healthy"
    assert services["migrate"]["command"] == ["migrate"]
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


# --- Secrets and roles ----------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A checkout in which the first step was done."""
    (tmp_path / "cluster").mkdir()
    for name in ("make-secrets", "redis.acl"):
        shutil.copy(ROOT / "cluster" / name, tmp_path / "cluster" / name)
    make_secrets(tmp_path)
    return tmp_path


def make_secrets(checkout: Path) -> None:
    subprocess.run(
        [checkout / "cluster" / "make-secrets"], check=True, capture_output=True, timeout=60
    )


def test_the_first_step_makes_every_secret_that_the_file_names(made):
    document = yaml.safe_load(FILE.read_text())
    variable = "${TOCSIN_SECRETS:?run ./cluster/make-secrets first}"
    assert {name: each["file"] for name, each in document["secrets"].items()} == {
        name: f"{variable}/{name}" for name in document["secrets"]
    }
    assert (made / ".env").read_text() == "TOCSIN_SECRETS=./secrets\n"
    assert {path.name for path in (made / "secrets").iterdir()} == set(document["secrets"])
    assert (made / "secrets").stat().st_mode & 0o077 == 0


def test_secrets_are_long_unlike_and_stay(made):
    before = {path.name: path.read_text() for path in (made / "secrets").iterdir()}
    passwords = [text for name, text in before.items() if name.endswith(("password", "secret"))]
    assert len(set(passwords)) == len(passwords) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in passwords)

    make_secrets(made)

    assert {path.name: path.read_text() for path in (made / "secrets").iterdir()} == before
    assert (made / ".env").read_text().count("TOCSIN_SECRETS") == 1


def test_the_file_has_no_secret_in_it_nor_a_default_for_one(services):
    assert ":-" not in FILE.read_text(), "a default"
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            is_secret = re.search("PASSWORD|SECRET|DATABASE|REDIS", name)
            assert not is_secret or name.endswith("_FILE"), name
            if is_secret:
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_a_service_has_the_secrets_that_it_needs_and_no_others(services):
    needs = {name: set(service.get("secrets", ())) for name, service in services.items()}
    nodes = {"node-database", "redis", "jwt-secret"}
    assert needs == {
        "haproxy": set(),
        **dict.fromkeys(NODES, nodes),
        "migrate": {"owner-database"},
        "postgres": {"postgres-password", "owner-password", "node-password"},
        "redis": {"redis-acl", "redis-password"},
        "prometheus": set(),
    }


def test_nodes_are_given_settings_that_they_understand(made):
    environment = {
        "TOCSIN_DATABASE_FILE": str(made / "secrets" / "node-database"),
        "TOCSIN_REDIS_FILE": str(made / "secrets" / "redis"),
        "TOCSIN_JWT_SECRET_FILE": str(made / "secrets" / "jwt-secret"),
        "PYTHONPATH": str(ROOT),
    }
    checked = subprocess.run(
        [sys.executable, "-m", "tocsin", "config", "check", "--host", "0.0.0.0", "--node", "a"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_service_is_root_or_can_write_beside_the_volumes(services):
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add"} & service.keys(), name
    # The other images name a user of their own.
    assert (services["postgres"]["user"], services["redis"]["user"]) == ("postgres", "redis")
    assert "USER 10001" in (ROOT / "Dockerfile").read_text()


def test_nothing_but_the_balancer_is_reachable_from_outside(services):
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published.pop("haproxy") == ["8080:8080"]
    assert published.pop("prometheus") == ["127.0.0.1:9090:9090"]
    # Their metrics, for this machine.
    metrics = services["node-1"]["environment"]["TOCSIN_METRICS_PORT"]
    assert published == {
        name: [f"127.0.0.1:910{number}:{metrics}"] for number, name in enumerate(NODES, 1)
    }


def test_each_node_may_hold_as_many_connections_as_it_is_to_serve(services):
    for name in NODES:
        assert services[name]["ulimits"]["nofile"] > 2 * Settings().connections_max
    at_most = re.search(r"fd-hard-limit (\d+)", CONFIGURATION.read_text())
    assert at_most is not None
    assert services["haproxy"]["ulimits"]["nofile"] == int(at_most[1])


@pytest.mark.parametrize("password", ["p@ss:w/o?r#d%41 \\ 'quoted' \"twice\" $HOME `id` ä€", "x"])
def test_a_password_may_be_of_any_characters(made, password: str):
    """One that was there before, in place of a made-up one."""
    secrets = made / "secrets"
    for path in list(secrets.iterdir()):
        path.unlink()
    for name in ("owner-password", "node-password", "redis-password"):
        (secrets / name).write_text(f"{password}\n")
    make_secrets(made)

    for name in ("owner-database", "node-database", "redis"):
        url = urlsplit((secrets / name).read_text())
        assert unquote(url.password or "") == password
        assert url.hostname in {"postgres", "redis"}
    url = urlsplit((secrets / "redis").read_text())
    with closing(
        Redis(acl=(secrets / "redis-acl").read_text(), login=(url.username or "", password))
    ) as server:
        server.start()
        here = urlunsplit(
            url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{server.port}")
        )
        assert execute(here, "PING")


def test_the_image_is_built_once_and_taken_from_nowhere_else(services):
    assert [name for name, service in services.items() if "build" in service] == ["migrate"]
    for name in NODES:
        assert services[name]["image"] == services["migrate"]["image"]
        assert services[name]["pull_policy"] == "never"


def test_postgres_believes_nobody_without_a_password(services):
    environment = services["postgres"]["environment"]
    assert environment["POSTGRES_INITDB_ARGS"] == "--auth=scram-sha-256"
    assert environment["POSTGRES_USER"] == "postgres", "the superuser is none of Tocsin's roles"
    assert "trust" not in FILE.read_text()
    mounted = [each.split(":")[:2] for each in services["postgres"]["volumes"]]
    script = ROOT / "cluster" / "postgres-init.sh"
    assert ["./cluster/postgres-init.sh", "/docker-entrypoint-initdb.d/tocsin.sh"] in mounted
    assert ["./cluster/roles.sql", "/roles.sql"] in mounted
    for name in re.findall(r"/run/secrets/([\w-]+)", script.read_text()):
        assert name in services["postgres"]["secrets"]
    assert os.access(script, os.X_OK)


def test_redis_takes_the_users_that_were_made_and_no_others(made):
    users = (made / "secrets" / "redis-acl").read_text()
    url = urlsplit((made / "secrets" / "redis").read_text())
    assert url.username is not None
    assert url.password is not None
    with closing(Redis(acl=users, login=(url.username, unquote(url.password)))) as server:
        server.start()
        with pytest.raises(redis.exceptions.AuthenticationError):
            execute(urlunsplit(url._replace(netloc=f"127.0.0.1:{server.port}")), "PING")
        with pytest.raises(redis.exceptions.NoPermissionError):
            server.execute("CONFIG", "GET", "*")


def test_the_documents_list_what_the_roles_may_do():
    told = (ROOT / "docs" / "operations.md").read_text()
    rules = (ROOT / "cluster" / "redis.acl").read_text()
    assert " ".join(re.findall(r"[+-]\S+|[~&]\S+", rules)) in " ".join(told.split())
    for line in re.findall(r"^(?:GRANT|REVOKE|ALTER) .*", _roles(), re.MULTILINE):
        assert line.rstrip(";") in told


def _roles() -> str:
    return (ROOT / "cluster" / "roles.sql").read_text()


# --- The balancer ---------------------------------------------------------------------------------


def test_no_node_is_killed_while_it_is_saying_goodbye(services):
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
