"""The reasons why a service does not work, as lines of the log.

A service that is away is tried every moment and fails each time, so one line has to tell of all
failures. But the reason may change, from a connection that broke to a password that is refused, and
then the first line misleads. So each reason is logged once, until the service works again.
"""

from __future__ import annotations

from typing import Any, Final

_REASONS_MAX: Final = 5
"""Reasons that are logged in one outage; more of them would be variations of these."""


class Reasons:
    """The reasons of one outage of *service*, a name for the log events of *logger*."""

    def __init__(self, logger: Any, service: str) -> None:
        self._logger = logger
        self._lost, self._still_lost = f"{service} lost", f"{service} still lost"
        self._ready = f"{service} ready"
        self._told: set[str] = set()

    def tell(self, reason: str) -> None:
        """Log that the service does not work for this *reason*, unless that was logged before."""
        if reason not in self._told and len(self._told) < _REASONS_MAX:
            event = self._still_lost if self._told else self._lost
            self._told.add(reason)
            self._logger.warning(event, error=reason)

    def ready(self, **facts: Any) -> None:
        """Log that the service works, again or for the first time, with *facts* as keys."""
        self._told.clear()
        self._logger.info(self._ready, **facts)
