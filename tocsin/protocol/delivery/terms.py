"""The terms of a session: within which limits it delivers, and how it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tocsin.protocol.backoff import Backoff

SEEN_INTERVAL: Final = 86_400.0
"""Seconds after which a device that stays connected is noted as seen again: a write a day."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How a session delivers; *resend_limit* is attempts per session, the other per device."""

    window: int
    window_bytes: int
    resend: Backoff
    resend_limit: int
    delivery_attempts_max: int


class Acknowledging(StrEnum):
    """The ways in which a device acknowledges.

    *Explicit*: by frames; a push that is not answered in time is sent again. *Resume*: by coming
    back with a cursor, which acknowledges everything up to it; nothing while connected.
    """

    EXPLICIT = "explicit"
    RESUME = "resume"
