"""The channels of a server over HTTP, for its operators."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tocsin.client.operator_calls import OperatorCalls


class ListedChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel, as far as a list shows it; see docs/channels.md."""

    name: str
    kind: str
    state: str
    waiting: int
    outcomes: dict[str, int]
    last_error: str | None


class ListedChannels(msgspec.Struct, frozen=True, kw_only=True):
    """The channels of one node."""

    channels: list[ListedChannel]


class ChannelCalls(OperatorCalls):
    """The channels of a server; see `OperatorCalls`."""

    PATH: ClassVar[str] = "/v1/admin/channels"

    async def list(self) -> ListedChannels:
        """All of them, as the node that answers sees them."""
        return await self._read(ListedChannels)
