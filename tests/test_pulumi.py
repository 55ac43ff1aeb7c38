"""The Pulumi program: what it makes for each choice, by Pulumi's mocks and Kubernetes' schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from servers.helm import find_helm
from tests.test_chart import CHART, KUBERNETES

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "deploy" / "pulumi"
NEEDED = {
    "tocsin:image": "registry.example.com/tocsin",
    "tocsin:digest": "sha256:" + "0" * 64,
    "tocsin:postgres-password": "pg-secret",
    "tocsin:redis-password": "redis-secret",
    "tocsin:jwt-secret": "jwt-secret-of-at-least-32-bytes-here",
}
EVERYTHING = {
    "tocsin:kafka": "true",
    "tocsin:host": "notify.example.com",
    "tocsin:tls-secret": "notify",
    "tocsin:namespace": "shop",
    "tocsin:postgres-disk": "7Gi",
    "tocsin:values": '{"settings": {"retention": "30d"}}',
}


WRAPPED = "4dabf18193072939515e22adb298388d"
"""The mark of a secret among the inputs of a mock."""


def run(config: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.pulumi_kit", json.dumps(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Made:
    """The resources and outputs of one run."""

    def __init__(self, config: dict[str, str]) -> None:
        done = run(NEEDED | config)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        self.exported: dict[str, Any] = told["exported"]
        self.secret: dict[str, bool] = told["secret"]
        self.resources: list[dict[str, Any]] = [
            {"mock": each["type"], **plain(each["inputs"])} for each in told["made"]
        ]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Manifests of that *kind*, by name."""
        found = [each for each in self.resources if each.get("kind") == kind]
        return {each["metadata"]["name"]: each for each in found}

    @property
    def values(self) -> dict[str, Any]:
        """What the chart is given."""
        (chart,) = (each for each in self.resources if each["mock"].endswith(":Chart"))
        found: dict[str, Any] = chart["values"]
        return found


def plain(value: Any) -> Any:
    """*value* as Kubernetes gets it: mocks wrap secrets, and make all numbers fractions."""
    match value:
        case {"value": inner} if WRAPPED in value:
            return plain(inner)
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


@pytest.fixture(scope="module")
def usual() -> Made:
    return Made({})


@pytest.fixture(scope="module")
def everything() -> Made:
    return Made(EVERYTHING)


def test_the_services_have_disks_and_their_images_are_of_a_release(everything):
    services = everything.of("StatefulSet")
    disks = {
        name: each["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
        for name, each in services.items()
    }
    assert disks == {"postgres": "7Gi", "redis": "10Gi", "kafka": "20Gi"}
    for each in services.values():
        (container,) = each["spec"]["template"]["spec"]["containers"]
        tag = container["image"].rpartition(":")[2]
        assert tag.replace(".", "").isdigit(), container["image"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_kubernetes_takes_all_of_it(everything):
    checked = [each for each in everything.resources if "kind" in each]
    assert len(checked) >= 9
    for each in checked:
        manifest = {name: value for name, value in each.items() if name != "mock"}
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


def test_addresses_are_secrets_of_the_stack_and_reach_the_nodes_by_a_secret(usual):
    database = "postgres://tocsin:pg-secret@postgres.tocsin.svc:5432/tocsin"
    redis = "redis://:redis-secret@redis.tocsin.svc:6379/0"
    assert (usual.exported["database"], usual.exported["redis"]) == (database, redis)
    assert usual.secret == {"namespace": False, "address": False, "database": True, "redis": True}
    assert usual.of("Secret")["tocsin"]["stringData"] == {
        "database": database,
        "redis": redis,
        "jwt-secret": NEEDED["tocsin:jwt-secret"],
    }
    passwords = [value for name, value in NEEDED.items() if "secret" in value or "jwt" in name]
    assert not any(each in json.dumps(usual.values) for each in passwords)


def test_redis_is_on_disk_before_it_answers_and_evicts_nothing(usual):
    settings = usual.of("Secret")["redis"]["stringData"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= {*settings}
    assert "requirepass redis-secret" in settings


@pytest.mark.parametrize("which", ["usual", "everything"])
def test_the_chart_takes_the_values(request, tmp_path, which):
    made = request.getfixturevalue(which)
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(made.values))
    done = subprocess.run(
        [find_helm(), "template", "tocsin", str(CHART), "--values", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kinds = {each["kind"] for each in yaml.safe_load_all(done.stdout) if each}
    assert ("Ingress" in kinds) is (which == "everything")


def test_an_operator_of_postgres_keeps_three_instances():
    made = Made({"tocsin:postgres": "cnpg"})
    assert set(made.of("StatefulSet")) == {"redis"}
    cluster = made.of("Cluster")["postgres"]
    assert cluster["spec"]["instances"] == 3
    assert cluster["spec"]["bootstrap"]["initdb"]["secret"] == {"name": "postgres"}
    assert made.of("Secret")["postgres"]["type"] == "kubernetes.io/basic-auth"
    assert "@postgres-rw.tocsin.svc:5432/" in made.exported["database"]


def test_without_a_digest_or_a_password_nothing_is_made():
    for missing in ("tocsin:digest", "tocsin:redis-password"):
        done = run({name: value for name, value in NEEDED.items() if name != missing})
        assert done.returncode != 0
        assert missing.partition(":")[2] in done.stderr


def test_the_readme_has_every_setting_of_the_program():
    readme = (PROGRAM / "README.md").read_text()
    for each in NEEDED.keys() | EVERYTHING.keys():
        assert f"`{each.removeprefix('tocsin:')}`" in readme, each
