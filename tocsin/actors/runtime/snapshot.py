"""What an actor looks like from outside, for whoever operates the node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """What one actor looked like at one moment; *children* may hold fewer than *child_count*."""

    path: str
    waiting: int
    capacity: int
    restarts: int
    last_error: str | None
    child_count: int
    children: tuple[Snapshot, ...]
