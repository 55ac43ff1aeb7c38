"""Whether this node hears the others: kept by the cluster bridge, looked at by everyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tocsin.actors.hop_status import HopStatus


@dataclass(slots=True)
class BusStatistics:
    """Counters since the node's start.

    *said* and *heard* are envelopes, *dropped* those that there was no room to say, *unreadable*
    those of this cluster that this release does not know. *found* are users whose log was further
    than this node had been told: news that did not come over the bus in time. *refused* is what was
    found in Redis that is not of this cluster: what it was, and why it was refused.
    """

    said: int = 0
    heard: int = 0
    dropped: int = 0
    unreadable: int = 0
    gaps: int = 0
    failures: int = 0
    losses: int = 0
    reconciliations: int = 0
    found: int = 0
    refused: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class BusStatus(HopStatus):
    """Whether the bus works; always, for a node that has none and needs none."""

    available: bool = True
    statistics: BusStatistics = field(default_factory=BusStatistics)
