"""When to start a failed actor again, and when to give up: arithmetic on times."""

from __future__ import annotations

from dataclasses import dataclass

_JITTER = 0.25
"""Actors that failed together for one cause should not come back in one instant."""


_DOUBLINGS_MAX = 64
"""By then any *delay_max* has been reached, and no float has overflowed."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At most *limit* restarts in *window* seconds, further apart each time."""

    limit: int = 5
    window: float = 60.0
    delay_initial: float = 0.1
    delay_max: float = 10.0
    escalates: bool = True


TRANSIENT = RestartPolicy()
"""Restarted when it fails; when it keeps failing its supervisor fails."""

FATAL = RestartPolicy(limit=0)
"""One failure is the supervisor's failure: for members of a group."""

TEMPORARY = RestartPolicy(limit=0, escalates=False)
"""One failure ends this actor and nobody else: for connections."""

PARKED = RestartPolicy(
    limit=1_000_000, window=3600.0, delay_initial=0.5, delay_max=60.0, escalates=False
)
"""Restarted for as long as it fails, a minute apart in the end: for actors without which a node
serves on, such as one for a broker. It is seen in the snapshot of the tree."""


class RestartHistory:
    """The failures of one actor that still count against its policy."""

    __slots__ = ("_policy", "_times")

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._times: tuple[float, ...] = ()

    def next_delay(self, now: float, jitter: float) -> float | None:
        """Record a failure at *now*; `None` means the limit is spent. *jitter* is in [0, 1)."""
        policy = self._policy
        times = tuple(time for time in self._times if time > now - policy.window)
        if len(times) >= policy.limit:
            return None
        self._times = (*times, now)
        delay = min(policy.delay_initial * 2.0 ** min(len(times), _DOUBLINGS_MAX), policy.delay_max)
        return delay * (1.0 + _JITTER * jitter)

    @property
    def escalates(self) -> bool:
        return self._policy.escalates
