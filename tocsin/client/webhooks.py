"""Webhooks over HTTP: make them, look at them, mend them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from tocsin.client.calls import UnreadableAnswer
from tocsin.client.operator_calls import OperatorCalls


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, as far as a list shows it; see docs/connections.md."""

    id: str
    url: str
    events: list[str]
    state: str
    behind: int
    reason: str | None


class WebhooksFound(msgspec.Struct, frozen=True, kw_only=True):
    """All webhooks, the oldest first."""

    webhooks: list[Webhook]


class WebhookCalls(OperatorCalls):
    """The webhooks of a server; see `OperatorCalls`."""

    PATH: ClassVar[str] = "/v1/webhooks"
    REMEDIES: ClassVar[Mapping[int | str, str]] = {404: "see `webhook list`, and repeat"}

    async def list(self) -> list[Webhook]:
        """All that there are."""
        return (await self._read(WebhooksFound)).webhooks

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to a call below `PATH`, as it came; `None` if it has no body.

        Raises `CallFailed`, or `UnreadableAnswer`. Cancelled, it may have been done all the same.
        """
        response = await self._ask(method, path, body=body)
        try:
            return msgspec.json.decode(response.content) if response.content else None
        except msgspec.DecodeError:
            raise UnreadableAnswer(response.status_code) from None
