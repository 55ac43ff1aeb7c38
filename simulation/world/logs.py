"""The nodes' logging: each warning becomes a line of the trace, and each logged bug a violation."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import structlog

from simulation.world.cluster import Cluster
from simulation.world.crashes import is_ours
from simulation.world.history import Violation
from simulation.world.scheduling import current_process

_BUGS: Final = ("critical", "error", "exception")
_EXPECTED: Final = frozenset({"stopped without the store", "channel cannot be used"})
"""Errors that report trouble of the environment, not a bug."""


@contextmanager
def captured(cluster: Cluster) -> Iterator[None]:
    """Send all logging to the trace and the history of *cluster*, and nowhere else."""
    before = structlog.get_config()
    structlog.configure(
        processors=[_Capture(cluster)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


class _Capture:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __call__(self, _: object, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        process = current_process()
        if process is None or not process.is_dead:
            who = "simulation" if process is None else process.name
            # Only the name of the event: its values may contain the text of an exception, which can
            # differ from process to process.
            self._cluster.note(who, f"logs {event['event']}")
            if level in _BUGS and event["event"] not in _EXPECTED:
                self._judge(who, event)
        raise structlog.DropEvent

    def _judge(self, who: str, event: MutableMapping[str, Any]) -> None:
        error = _error_of(event)
        if not is_ours(error):
            shown = {name: value for name, value in event.items() if name != "exc_info"}
            told = "".join(traceback.format_exception(error)) if error else ""
            cluster = self._cluster
            violation = Violation(cluster.timeline.now, "P6", who, f"logs {shown}\n{told}".strip())
            cluster.history.violated(violation)


def _error_of(event: MutableMapping[str, Any]) -> BaseException | None:
    error = event.get("exc_info")
    return error if isinstance(error, BaseException) else sys.exc_info()[1]
