"""The limits of a front door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tocsin.server.turnstile import HANDSHAKES_MAX

USER_TIMEOUT: Final = 30.0
"""Seconds for which sent bytes may stay unacknowledged before the kernel ends a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """Seconds, and numbers of connections. *connections_max* is the operator's."""

    connections_max: int
    handshakes_max: int = HANDSHAKES_MAX
    """Handshakes under way: each costs a task and some cryptography."""
    reserve_max: int = 64
    """Connections of a full node that are answered once, at one time."""
    backlog_max: int = 65_535
    """Connections that the kernel keeps for us, or as many as it will."""
    user_timeout: float = USER_TIMEOUT
    turn_timeout: float = 30.0
    """In the queue of handshakes; most clients have given up by then."""
