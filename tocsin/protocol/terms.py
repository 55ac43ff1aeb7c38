"""The terms of a session: within which limits it delivers, and how it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tocsin.protocol.backoff import Backoff


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How a session delivers; *resend_limit* is attempts per session, the other per device."""

    window: int
    window_bytes: int
    resend: Backoff
    resend_limit: int
    delivery_attempts_max: int


class Acknowledging(StrEnum):
    """How a device acknowledges what it was sent.

    *Explicit*: it says so, and what it has not answered in time is pushed again. *Resume*: it says
    nothing while it is connected; coming back with a cursor acknowledges everything up to there.
    """

    EXPLICIT = "explicit"
    RESUME = "resume"
