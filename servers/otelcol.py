"""OpenTelemetry's own collector, built from its modules: it takes our spans, and hands them on.

A build takes a minute and a half of CPU, and is kept. Where there is no Go, or one that is too old,
the tests that need it fail with the remedy, so that none is passed over silently.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from servers.helm import CACHE
from servers.machine import free_port
from servers.program import Program

SOURCE: Final = Path(__file__).parent / "collector"
FILES: Final = ("main.go", "go.mod", "go.sum")
BUILD_TIMEOUT: Final = 1200
"""Seconds: six minutes were seen beside seven other builds."""


def find_collector() -> str:
    """The path of the collector. Raises `RuntimeError` if it cannot be built."""
    CACHE.mkdir(parents=True, exist_ok=True)
    whole = b"".join((SOURCE / name).read_bytes() for name in FILES)
    program = CACHE / f"otelcol-{hashlib.sha256(whole).hexdigest()[:16]}"
    with (CACHE / "otelcol.lock").open("w") as lock:
        # Test processes start side by side, and one build is enough.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _build(program)
    return str(program)


def _build(program: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("Go is needed and was not found: install Go 1.26 or newer, and repeat.")
    made = program.with_suffix(".new")
    done = subprocess.run(
        [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(made), "."],
        cwd=SOURCE,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The collector was not built:\n{done.stderr[-2000:]}")
    made.rename(program)


class Otelcol(Program):
    """Takes spans at `traces_url`, and hands them on to *receiver*, which speaks OTLP in JSON."""

    def __init__(self, receiver: str) -> None:
        super().__init__("otelcol", free_port())
        self.traces_url = f"{self.url}/v1/traces"
        exporter = {"traces_endpoint": receiver, "encoding": "json", "compression": "none"}
        pipeline = {"receivers": ["otlp"], "exporters": ["otlp_http"]}
        self._configuration = self.directory / "otelcol.yaml"
        # JSON is valid YAML.
        self._configuration.write_text(
            json.dumps(
                {
                    "receivers": {
                        "otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self.port}"}}}
                    },
                    "exporters": {"otlp_http": exporter},
                    "service": {
                        "telemetry": {"metrics": {"level": "none"}},
                        "pipelines": {"traces": pipeline},
                    },
                }
            )
        )

    def command(self) -> Sequence[str]:
        return [find_collector(), "--config", str(self._configuration)]
