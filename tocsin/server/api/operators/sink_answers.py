"""The answers about sinks in brokers, as types; see `answers`."""

from __future__ import annotations

from typing import Literal

from tocsin.server.api.answers import Answering, Timestamp


class SinkLine(Answering, frozen=True, kw_only=True):
    """A sink in a broker, as it stands for all nodes."""

    name: str
    kind: str
    events: list[str]
    categories: list[str]
    state: Literal["active", "paused", "disabled"]
    reason: str | None
    position: int
    behind: int
    lost: int
    failing_since: Timestamp | None
    succeeded_at: Timestamp | None


class SinkList(Answering, frozen=True, kw_only=True):
    """The sinks that the settings of this node have."""

    sinks: list[SinkLine]
