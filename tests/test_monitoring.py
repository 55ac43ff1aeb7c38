"""Alerts and dashboard as files: promtool believes them, and each alert has its runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from cluster import dashboard
from servers.prometheus import find_promtool
from tocsin.server.metrics.catalogue import METRICS

ROOT = Path(__file__).parent.parent
ALERTS = ROOT / "deploy" / "chart" / "files" / "alerts.yaml"
CASES = ROOT / "deploy" / "monitoring" / "alerts_test.yaml"
RUNBOOKS = ROOT / "docs" / "observing.md"
OF_PROMETHEUS = {"up"}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [find_promtool(), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_and_is_silent_when_it_should():
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", str(CASES))


def test_no_alert_is_left_out_of_the_cases():
    alerts = {rule["alert"] for rule in rules()}
    cases = CASES.read_text()
    silent = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", cases))
    fires = set(re.findall(r'alertname="(\w+)"', cases))
    assert silent == fires == alerts


def test_each_alert_says_what_to_do():
    headings = set(re.findall(r"^### (\w+)$", RUNBOOKS.read_text(), re.MULTILINE))
    assert headings == {rule["alert"] for rule in rules()}
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/observing.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"warning", "critical"}


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\b((?:tocsin|process)_\w+|up)\b(?=[\s{\[)/]|$)", expression))


@pytest.mark.parametrize("expression", [*dashboard.queries(), *(each["expr"] for each in rules())])
def test_queries_ask_for_metrics_that_there_are(expression):
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    known = {
        each.full_name + suffix for each in METRICS for suffix in suffixes.get(each.kind, ("",))
    }
    asked = names_in(expression)
    assert asked
    assert asked <= known | OF_PROMETHEUS


def test_the_dashboard_is_the_one_that_is_made():
    assert dashboard.FILE.read_text() == dashboard.dashboard(), "./dev chart"
