"""The connectors of a node, as operators see them: tables that the connectors' actors write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tocsin.persistence.sink import ConnectSink
from tocsin.persistence.source import Connect
from tocsin.persistence.store.ingest_commands import ConnectorOrders

TAKE_WAIT: Final = 1.0
"""Seconds that one look into a broker waits: a stop waits for it."""


class IngestState(StrEnum):
    """The states of a connector on this node."""

    IDLE = "idle"
    CONSUMING = "consuming"
    PAUSED = "paused"
    HELD = "held"
    ELSEWHERE = "elsewhere"
    AWAY = "away"
    REFUSED = "refused"
    FAILED = "failed"
    STOPPED = "stopped"


HEALTHY = frozenset(
    {
        *(IngestState.IDLE, IngestState.CONSUMING, IngestState.PAUSED, IngestState.HELD),
        *(IngestState.ELSEWHERE, IngestState.STOPPED),
    }
)
"""States in which nothing is wrong with the connector itself. It is held while the store is away,
which is another hop's trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorTerms:
    """A connector as the settings have it. *age_max* is in seconds; no *categories* are all.

    One look into the broker waits *wait* seconds.
    The answers to its keys are kept *key_longer_ms* milliseconds longer than those to producers.
    *dead_letters* opens the place at the broker for messages that can never be stored, if it is
    there that they go.
    """

    name: str
    kind: str
    connect: Connect
    ordered: bool = True
    batch: int = 256
    age_max: float | None = None
    categories: frozenset[str] = frozenset()
    key_longer_ms: int = 0
    wait: float = TAKE_WAIT
    loop_faults: Callable[[], int] = lambda: 0
    dead_letters: ConnectSink | None = None

    @property
    def credential(self) -> str:
        """The name under which the connector posts."""
        return f"connector:{self.name}"


@dataclass(slots=True)
class IngestCounters:
    """Counters since the node's start; *seconds* were spent on batches."""

    taken: int = 0
    accepted: int = 0
    replayed: int = 0
    refused: int = 0
    unkeyed: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class ConnectorStatus:
    """One connector of this node, as its actor last wrote it. *since* is Unix ms.

    *reason* says why the state is not a good one. *orders* are the operators', as last read.
    """

    terms: ConnectorTerms
    state: IngestState = IngestState.IDLE
    since: int = 0
    reason: str = ""
    lag: int | None = None
    orders: ConnectorOrders = field(default_factory=ConnectorOrders)
    counters: IngestCounters = field(default_factory=IngestCounters)

    @property
    def is_healthy(self) -> bool:
        """True if nothing is wrong with the connector itself."""
        return self.state in HEALTHY


class Connectors:
    """The connectors of a node, by name."""

    def __init__(self, terms: Sequence[ConnectorTerms] = ()) -> None:
        self._connectors = {each.name: ConnectorStatus(each) for each in terms}

    def __bool__(self) -> bool:
        return bool(self._connectors)

    @property
    def all(self) -> tuple[ConnectorStatus, ...]:
        """All of them, in the order of the settings."""
        return tuple(self._connectors.values())

    def find(self, name: str) -> ConnectorStatus | None:
        """The connector called *name*."""
        return self._connectors.get(name)
