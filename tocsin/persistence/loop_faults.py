"""Faults of an asyncio loop that no task has collected: counted, and logged now and then.

Apart from the loop itself, so that a node without one imports no trio-asyncio.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
import trio

logger = structlog.get_logger(__name__)

FAULT_INTERVAL: Final = 10.0
"""Seconds between two log lines about faults, at least."""


class LoopFaults:
    """Counts exceptions of the loop's tasks and callbacks that no task has collected."""

    def __init__(self) -> None:
        self.count = 0
        self._untold = 0
        self._told_at = -FAULT_INTERVAL

    def note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count a fault, and log one in `FAULT_INTERVAL` with its traceback.

        The signature is that of `loop.set_exception_handler`.
        """
        self.count += 1
        self._untold += 1
        now = trio.current_time()
        if now - self._told_at >= FAULT_INTERVAL:
            logger.error(
                "fault in asyncio",
                what=str(context.get("message")),
                count=self._untold,
                exc_info=context.get("exception"),
            )
            self._told_at, self._untold = now, 0
