"""The process: CPU, memory and descriptors, under the names that Prometheus' clients agree on."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_STARTED: Final = time.time()
"""Unix seconds. The module is loaded at the start, a tenth of a second after the process's own."""
_PAGE: Final = resource.getpagesize()


def process_readings() -> Iterator[tuple[str, float]]:
    """Names and values of this moment; memory and open descriptors only where there is /proc."""
    times = os.times()
    yield "process_cpu_seconds", times.user + times.system
    yield "process_start_time_seconds", _STARTED
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield "process_max_fds", float("inf") if limit == resource.RLIM_INFINITY else limit
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
        descriptors = len(os.listdir("/proc/self/fd")) - 1  # the one that lists them
    except OSError:
        return
    yield "process_resident_memory_bytes", int(pages) * _PAGE
    yield "process_open_fds", descriptors
