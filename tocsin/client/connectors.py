"""Connectors over HTTP: list them, pause and resume them, pass over a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from tocsin.client.operator_calls import OperatorCalls


class ConnectorShown(msgspec.Struct, frozen=True, kw_only=True):
    """A connector, as far as a list shows it; see docs/connectors.md."""

    name: str
    kind: str
    state: str
    reason: str | None
    lag: int | None
    taken: int
    accepted: int
    replayed: int
    refused: int


class ConnectorsShown(msgspec.Struct, frozen=True, kw_only=True):
    """The connectors of the node that answered."""

    node: str
    connectors: list[ConnectorShown]


class ConnectorCalls(OperatorCalls):
    """The connectors of a server; see `OperatorCalls`."""

    PATH: ClassVar[str] = "/v1/admin/connectors"
    REMEDIES: ClassVar[Mapping[int | str, str]] = {404: "see `connector list`, and repeat"}

    async def list(self) -> ConnectorsShown:
        """All of them, as the node that answers sees them."""
        return await self._read(ConnectorsShown)

    async def pause(self, name: str) -> None:
        """Have the connector take nothing more, on all nodes."""
        await self._ask("POST", f"/{name}/pause")

    async def resume(self, name: str) -> None:
        """Have the connector go on, on all nodes; again is no error."""
        await self._ask("POST", f"/{name}/resume")

    async def skip(self, name: str, place: str) -> None:
        """Have the connector pass over the message at *place*."""
        await self._ask("POST", f"/{name}/skip", body={"place": place})
