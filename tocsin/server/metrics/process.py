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


def resident_memory() -> int:
    """Bytes of the process that are in RAM; 0 where there is no /proc."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0


def process_readings() -> Iterator[tuple[str, float]]:
    """Names and values of this moment; memory and open descriptors only where there is /proc."""
    times = os.times()
    yield "process_cpu_seconds", times.user + times.system
    yield "process_start_time_seconds", _STARTED
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield "process_max_fds", float("inf") if limit == resource.RLIM_INFINITY else limit
    if (descriptors := open_descriptors()) is not None:
        yield "process_resident_memory_bytes", resident_memory()
        yield "process_open_fds", descriptors


def open_descriptors(directory: str = "/proc/self/fd") -> int | None:
    """How many descriptors the process has open; `None` where there is no /proc.

    *directory* has them as its entries.
    """
    try:
        # Linux counts them since 6.2 (proc(5)); to list ten thousand takes ten milliseconds.
        if counted := os.stat(directory).st_size:
            return counted
        return len(os.listdir(directory)) - 1  # the one that lists them
    except OSError:
        return None
