"""When a send that failed is tried again, and when it is given up.

Late news by mail is worse than none, so a send lives for about an hour: six attempts. The other
side may ask for more time (`Retry-After`); that lengthens a delay, and does not add attempts.
"""

from __future__ import annotations

from typing import Final

RETRY_DELAYS: Final = (10.0, 60.0, 300.0, 900.0, 1800.0)
"""Seconds behind the first failure, the second, and so on."""
RETRY_AFTER_MAX: Final = 3600.0
"""Seconds that the other side may ask for; more is cut, since the send would be given up anyway."""
LEASE: Final = 60.0
"""Seconds for which a claimed send is its node's: longer than any carrier may take, so that no send
is carried twice while its node lives."""


def retry_delay(
    attempts: int, asked: float | None, attempts_max: int | None = None
) -> float | None:
    """Seconds until the next attempt, behind *attempts* failures; `None` if it is given up.

    *asked* is the delay that the other side wants. *attempts_max* is the carrier's own limit.
    """
    if attempts > len(RETRY_DELAYS) or (attempts_max is not None and attempts >= attempts_max):
        return None
    return max(RETRY_DELAYS[attempts - 1], min(asked or 0.0, RETRY_AFTER_MAX))
