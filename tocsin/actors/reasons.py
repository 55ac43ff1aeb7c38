"""Why a service does not work, for the log.

A service that is away is tried every moment, and fails each time: one line tells of it. But the
reason may change, from a connection that broke to a password that is refused, and then the first
one misleads. So each reason is told once, until the service works again.
"""

from __future__ import annotations

from typing import Any, Final

_REASONS_MAX: Final = 5
"""Of one outage; beyond it they are variations."""


class Reasons:
    """Of the *service* of that name, told to *logger*; see the module."""

    def __init__(self, logger: Any, service: str) -> None:
        self._logger = logger
        self._lost, self._still_lost = f"{service} lost", f"{service} still lost"
        self._ready = f"{service} ready"
        self._told: set[str] = set()

    def tell(self, reason: str) -> None:
        """It does not work, for this *reason*."""
        if reason not in self._told and len(self._told) < _REASONS_MAX:
            event = self._still_lost if self._told else self._lost
            self._told.add(reason)
            self._logger.warning(event, error=reason)

    def over(self, **facts: Any) -> None:
        """It works again, or for the first time."""
        self._told.clear()
        self._logger.info(self._ready, **facts)
