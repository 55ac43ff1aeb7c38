"""Delays that grow: exponential backoff with jitter, as arithmetic.

Jitter spreads the resends of devices that fell silent together (Brooker, *Exponential Backoff And
Jitter*, AWS 2015). Ours is narrow, because a resend is work for one device and not for a shared
bottleneck, and a narrow spread keeps "sent again after about ten seconds" true.
"""

from __future__ import annotations

from dataclasses import dataclass

_SPREAD = 0.2
"""The part of a delay by which jitter lengthens or shortens it; see the module."""
_EXPONENT_MAX = 32
"""Past this the cap has long been reached; it keeps 2 ** n from becoming a bignum."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """*initial* seconds, doubled by each attempt, capped at *cap* seconds, give or take a fifth."""

    initial: float
    cap: float

    @property
    def first(self) -> float:
        """Seconds after the first try, without the spread."""
        return min(self.initial, self.cap)

    def delay(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after the *attempt*-th try (1, 2, …); *jitter* is in [0, 1)."""
        full = self.initial
        if attempt > 1:
            full *= 2.0 ** min(attempt - 1, _EXPONENT_MAX)
        full = min(self.cap, full)
        return full * (1.0 - _SPREAD + 2.0 * _SPREAD * jitter)
