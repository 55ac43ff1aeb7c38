"""Actors as seen from outside, for the operator of the node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """One actor at one moment; *children* may hold fewer than *child_count*."""

    path: str
    waiting: int
    capacity: int
    restarts: int
    last_error: str | None
    child_count: int
    children: tuple[Snapshot, ...]
