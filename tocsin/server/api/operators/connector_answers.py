"""The answers about connectors, as types; see `answers`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from tocsin.server.api.answers import Answering, Timestamp

Place = Annotated[str, Meta(min_length=1, max_length=512)]
# fmt: off
ConnectorState = Literal[
    "idle", "consuming", "paused", "held", "elsewhere", "away", "refused", "failed", "stopped"
]
# fmt: on


class ConnectorLine(Answering, frozen=True, kw_only=True):
    """A connector of this node; the counts are since its start."""

    name: str
    kind: str
    state: ConnectorState
    since: Timestamp
    reason: str | None
    lag: int | None
    taken: int
    accepted: int
    replayed: int
    refused: int
    unkeyed: int
    skips: list[str]


class ConnectorList(Answering, frozen=True, kw_only=True):
    """The connectors that the settings of this node have."""

    node: str
    connectors: list[ConnectorLine]
