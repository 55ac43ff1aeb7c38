"""How much one transaction does for its commands; the rest is left to the next one.

Locks of users' rows are held until a transaction commits, and other transactions wait for them. So
a command that may concern any number of rows does a part and says that there is more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLimits:
    """The limits of one transaction, in rows unless a field says otherwise."""

    recipients_max: int = 1000
    """Recipients of all notifications that one transaction expires or releases, about: the logs of
    these users are locked meanwhile."""
    entries_max: int = 1000
    """Entries of topics that one transaction brings, about: all their users' logs are locked."""
    entries_of_user_max: int = 1000
    """Entries that one transaction brings to one user, whose log is locked meanwhile."""
    entries_of_user_min: int = 5
    """Entries for each user, however many share a transaction, so that each advances."""
    marks_max: int = 1000
    """Rows that the commands of one transaction without ids mark together."""
    marks_of_command_min: int = 30
    """Rows that one command marks however many there are, so that each of them gets somewhere."""
    acknowledged_max: int = 1000
    """Ledger lines that the cursors of one transaction acknowledge, about."""
    acknowledged_of_device_min: int = 30
    """Ledger lines for each device, even if many share a transaction, so that each advances."""
    delivered_step_min: int = 100
    """Entries of a log: going through fewer takes less time than writing a row to spare it."""


LIMITS: Final = ScriptLimits()
"""The limits of every store, except where a test has its own."""
