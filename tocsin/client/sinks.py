"""Sinks in brokers over HTTP: list, pause, enable and rewind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from tocsin.client.operator_calls import OperatorCalls


class SinkShown(msgspec.Struct, frozen=True, kw_only=True):
    """A sink, as far as a list shows it; see docs/connections.md."""

    name: str
    kind: str
    state: str
    reason: str | None
    behind: int
    lost: int


class SinksShown(msgspec.Struct, frozen=True, kw_only=True):
    """The sinks of the node that answered."""

    sinks: list[SinkShown]


class SinkCalls(OperatorCalls):
    """The sinks in brokers of a server; see `OperatorCalls`."""

    PATH: ClassVar[str] = "/v1/admin/sinks"
    REMEDIES: ClassVar[Mapping[int | str, str]] = {404: "see `sink list`, and repeat"}

    async def list(self) -> SinksShown:
        """All of them."""
        return await self._read(SinksShown)

    async def pause(self, name: str) -> None:
        """Have nothing more carried to the sink; it keeps its place."""
        await self._ask("POST", f"/{name}/pause")

    async def enable(self, name: str) -> None:
        """Have a paused or disabled sink go on; of an active one it forgets failures."""
        await self._ask("POST", f"/{name}/enable")

    async def rewind(self, name: str, since: str) -> None:
        """Have all receipts since an instant (RFC 3339) carried again."""
        await self._ask("POST", f"/{name}/rewind", body={"since": since})
