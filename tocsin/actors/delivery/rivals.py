"""Two connections of one device, on different nodes: which of them is the older one, and ends."""

from __future__ import annotations

from typing import Final

from tocsin.actors.delivery.messages import HereElsewhere

DOUBT: Final = 0.05
"""Seconds of difference below which nobody knows which of two came first."""


def rank_of(node: str, connection: str) -> str:
    """What decides between two connections of a device that came at the same time."""
    return f"{node}/{connection}"


def is_older(node: str, connection: str, since: float, other: HereElsewhere) -> bool:
    """Whether *connection* to *node*, there *since* (Trio time), is older than the *other* one."""
    if abs(since - other.since) < DOUBT:
        return rank_of(node, connection) < other.rank
    return since < other.since
