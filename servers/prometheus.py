"""A Prometheus of our own, which scrapes nodes and is asked queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from servers.machine import free_port
from servers.program import Program, find_binary

SCRAPE_INTERVAL = "1s"


def find_promtool() -> str:
    """The path of `promtool`, which comes with Prometheus."""
    find_binary("prometheus")
    return find_binary("promtool", "prometheus")


class Prometheus(Program):
    """Scrapes *targets* (`host:port`) once a second as the job `tocsin`, and judges *rules*."""

    def __init__(self, targets: Sequence[str], rules: Path) -> None:
        super().__init__("Prometheus", free_port())
        self._configuration = self.directory / "prometheus.yml"
        # JSON is valid YAML.
        self._configuration.write_text(
            json.dumps(
                {
                    "global": {
                        "scrape_interval": SCRAPE_INTERVAL,
                        "evaluation_interval": SCRAPE_INTERVAL,
                    },
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {"job_name": "tocsin", "static_configs": [{"targets": list(targets)}]}
                    ],
                }
            )
        )

    def command(self) -> Sequence[str]:
        return [
            find_binary("prometheus"),
            f"--config.file={self._configuration}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that *expression* has now. Raises `AssertionError` if it is no query."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found
