"""Log lines about faults that others can cause as often as they like: a few for each kind."""

from __future__ import annotations

from typing import Any, Final

import trio

INTERVAL: Final = 10.0
"""Seconds between two lines of one kind."""


class Complaints:
    """Lines of *logger* with the event *event*, one per `INTERVAL` and kind; kinds must be few."""

    def __init__(self, logger: Any, event: str) -> None:
        self._logger = logger
        self._event = event
        self._told_at: dict[tuple[str, ...], float] = {}
        self._untold: dict[tuple[str, ...], int] = {}

    def tell(self, *kind: str, count: int = 1, **facts: Any) -> None:
        """Count *count* more faults of this *kind*; log them with *facts* if a line is due."""
        untold = self._untold[kind] = self._untold.get(kind, 0) + count
        now = trio.current_time()
        if now - self._told_at.get(kind, -INTERVAL) >= INTERVAL:
            self._told_at[kind] = now
            self._untold[kind] = 0
            self._logger.warning(self._event, what=" ".join(kind), count=untold, **facts)
