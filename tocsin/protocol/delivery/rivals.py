"""Two connections of one device, to different nodes: which of them is the older one, and ends."""

from __future__ import annotations

from typing import Final

DOUBT: Final = 0.05
"""Seconds of difference below which the order of two connections is not known: as well as one
node's clock is known on another."""


def rank_of(node: str, connection: str) -> str:
    """The rank that decides between connections of a device that came at the same time."""
    return f"{node}/{connection}"


def is_older(since: float, rank: str, other_since: float, other_rank: str) -> bool:
    """Whether a connection *since* (Trio time) with *rank* is older than the other one."""
    if abs(since - other_since) < DOUBT:
        return rank < other_rank
    return since < other_since
