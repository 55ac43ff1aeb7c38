"""The Helm chart: what it refuses, and what it makes, checked by Helm, Kubernetes and a node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from cluster.chart import FILE, OF_THE_CHART, updated
from servers.helm import find_helm
from tocsin import __version__
from tocsin.settings import SETTINGS
from tocsin.settings.kinds import read_duration

CHART = FILE.parent
KUBERNETES = ["1.25.0", "1.33.0"]
"""The oldest that the chart admits, and a recent one."""
CUSTOM = frozenset({"ServiceMonitor", "PrometheusRule", "ScaledObject"})
"""Kinds of the Prometheus operator and of KEDA, of which Kubernetes has no schema."""

VARIANTS: dict[str, list[str]] = {
    "as it is": [],
    "a demo": ["demo.enabled=true"],
    "one node": ["replicas=1", "demo.enabled=true"],
    "scaled by the adapter": ["autoscaling.enabled=true"],
    "scaled by KEDA": ["autoscaling.enabled=true", "autoscaling.provider=keda"],
    "scaled by CPU": ["autoscaling.enabled=true", "autoscaling.provider=cpu"],
    "migrated by a job": [
        "migration.by=job",
        "migration.database.name=tocsin-owner",
        "migration.database.key=url",
    ],
    "all of it": [
        "ingress.enabled=true",
        "ingress.host=notify.example.com",
        "ingress.tlsSecret=notify",
        "metrics.serviceMonitor.enabled=true",
        "metrics.prometheusRule.enabled=true",
        "metrics.dashboard.enabled=true",
        "image.digest=sha256:" + "0" * 64,
        "image.pullSecrets={registry}",
        "settings.forwarded_from={10.0.0.0/8,192.168.0.1}",
        "settings.connections_max=50000",
        "settings.access_log=on",
        "settings.retention=30d",
        "settings.drain_time=2m",
        "networkPolicy.clients[0].podSelector.matchLabels.app=ingress",
        "priorityClassName=high",
        "podLabels.team=notify",
        "nodeSelector.disk=ssd",
    ],
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_helm(), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def rendered(values: list[str], version: str = KUBERNETES[-1]) -> list[dict[str, Any]]:
    settings = [word for value in values for word in ("--set", value)]
    made = helm("template", "shop", str(CHART), "--kube-version", version, *settings)
    assert made.returncode == 0, made.stderr
    return [each for each in yaml.safe_load_all(made.stdout) if each]


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [each for each in documents if each["kind"] == kind]
    return found


def kinds(documents: list[dict[str, Any]]) -> set[str]:
    return {each["kind"] for each in documents}


def test_the_schema_knows_the_settings_of_this_release():
    schema = FILE.read_text(encoding="utf-8")
    assert schema == updated(schema), "a setting has changed: ./dev chart"
    names = {known.name for known in SETTINGS}
    assert names >= OF_THE_CHART


def test_the_chart_installs_the_release_it_stands_beside():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


def test_helm_finds_nothing_to_complain_of():
    linted = helm("lint", "--strict", str(CHART))
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_takes_all_that_is_made(variant, version):
    documents = rendered(VARIANTS[variant], version)
    assert kinds(documents) >= {"Deployment", "Service"}
    for document in documents:
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("settings.drain_tme=3s", "drain_tme"),
        ("settings.drain_time=20", "/settings/drain_time"),
        ("settings.retention=90 days", "/settings/retention"),
        ("settings.frame_bytes_max=64KB", "/settings/frame_bytes_max"),
        ("settings.log_format=xml", "/settings/log_format"),
        ("settings.port=80", "port"),
        ("settings.jwt_secret=hunter2hunter2", "jwt_secret"),
        ("secrets.redis.nam=tocsin", "nam"),
        ("replica=3", "replica"),
        ("autoscaling.provider=magic", "/autoscaling/provider"),
        ("image.digest=latest", "/image/digest"),
        ("migration.database.name=only", "/migration/database"),
        ("ingress.enabled=true", "ingress.host"),
    ],
)
def test_a_value_that_would_do_nothing_or_harm_is_refused(value, place):
    made = helm("template", "shop", str(CHART), "--set", value)
    assert made.returncode != 0
    assert place in made.stderr


def test_a_job_cannot_migrate_a_database_that_comes_after_it():
    made = helm(*("template", "shop", str(CHART)), *("--set", "migration.by=job,demo.enabled=true"))
    assert made.returncode != 0
    assert "migration.by" in made.stderr


@pytest.mark.parametrize("variant", ["as it is", "a demo", "all of it"])
def test_a_node_understands_the_settings_that_it_is_given(variant, tmp_path):
    pod = one(rendered(VARIANTS[variant]), "Deployment")["spec"]["template"]["spec"]
    environment = _environment_of(pod, tmp_path)
    checked = subprocess.run(
        [sys.executable, "-P", "-m", "tocsin", "config", "check"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def _environment_of(pod: dict[str, Any], directory: Path) -> dict[str, str]:
    """The variables of the node's container, its secrets as files in *directory*."""
    contents = {
        "database": "postgres://tocsin:secret@postgres/tocsin",
        "redis": "redis://:secret@redis",
        "jwt_secret": "s" * 48,
    }
    (container,) = pod["containers"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    for each in container["env"]:
        value = each.get("value", "shop-tocsin-7d9c5f4b6-x2x7k")
        if each["name"].endswith("_FILE"):
            name = value.rpartition("/")[2]
            assert name in _files_of(pod, container), f"{value} is not mounted"
            (directory / name).write_text(contents[name])
            value = str(directory / name)
        environment[each["name"]] = value
    return environment


def _files_of(pod: dict[str, Any], container: dict[str, Any]) -> set[str]:
    mounted = {each["name"] for each in container["volumeMounts"]}
    (volume,) = [each for each in pod["volumes"] if each["name"] == "secrets"]
    assert "secrets" in mounted
    return {
        item["path"]
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }


@pytest.mark.parametrize("drain_time", ["20s", "2m", "1.5s"])
def test_kubernetes_waits_longer_than_the_node_takes_to_say_goodbye(drain_time):
    pod = one(rendered([f"settings.drain_time={drain_time}"]), "Deployment")["spec"]["template"]
    assert pod["spec"]["terminationGracePeriodSeconds"] >= read_duration(drain_time) + 15


def test_no_replicas_are_asked_for_that_the_autoscaler_would_fight_over():
    assert "replicas" in one(rendered([]), "Deployment")["spec"]
    for variant in ("scaled by the adapter", "scaled by KEDA", "scaled by CPU"):
        assert "replicas" not in one(rendered(VARIANTS[variant]), "Deployment")["spec"]


def test_a_single_node_may_be_drained_from_its_machine():
    assert "PodDisruptionBudget" in kinds(rendered([]))
    assert "PodDisruptionBudget" not in kinds(rendered(VARIANTS["one node"]))


def test_the_nodes_do_not_get_the_address_of_the_owner_of_the_tables():
    values = ["migration.database.name=owner", "migration.database.key=url"]
    pod = one(rendered(values), "Deployment")["spec"]["template"]["spec"]
    (migration,), (node,) = pod["initContainers"], pod["containers"]
    assert "owner" in {each["name"] for each in migration["volumeMounts"]}
    assert "owner" not in {each["name"] for each in node["volumeMounts"]}


def test_nothing_secret_passes_through_helm_but_in_a_demo():
    assert "Secret" not in kinds(rendered([]))
    demo = rendered(VARIANTS["a demo"])
    assert "Secret" in kinds(demo)
    pod = one(demo, "Deployment")["spec"]["template"]["spec"]
    assert all("secretKeyRef" not in str(each) for each in pod["containers"])


def test_every_container_is_confined():
    for variant in VARIANTS:
        for document in rendered(VARIANTS[variant]):
            if document["kind"] not in {"Deployment", "StatefulSet", "Job"}:
                continue
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["automountServiceAccountToken"] is False
            for container in pod["containers"] + pod.get("initContainers", []):
                confined = container["securityContext"]
                assert confined["readOnlyRootFilesystem"] is True
                assert confined["allowPrivilegeEscalation"] is False
                assert confined["capabilities"] == {"drop": ["ALL"]}
                assert "memory" in container["resources"]["limits"]
