"""Webhooks over HTTP: make them, look at them, mend them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tocsin.client.calls import Call, UnreadableAnswer, ask

PATH: Final = "/v1/webhooks"
_REMEDIES: Final[dict[int | str, str]] = {404: "see `webhook list`, and repeat"}


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


class Webhooks:
    """The webhooks of the server at *base*.

    Every method raises `CallFailed`; that is `UnreadableAnswer` if the answer is not one of Tocsin.
    A cancelled call may have been done all the same.
    """

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._token = token

    async def all(self) -> list[Webhook]:
        """All that there are."""
        content = await self._ask("GET", "", None)
        try:
            return msgspec.json.decode(content, type=WebhooksFound).webhooks
        except msgspec.DecodeError:
            raise UnreadableAnswer(200) from None

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to a call below `/v1/webhooks`, as it came; `None` if it has no body."""
        content = await self._ask(method, path, body)
        try:
            return msgspec.json.decode(content) if content else None
        except msgspec.DecodeError:
            raise UnreadableAnswer(200) from None

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        encoded = None if body is None else msgspec.json.encode(body)
        call = Call(
            method, PATH + path, verb="ask", scope="admin", body=encoded, remedies=_REMEDIES
        )
        return (await ask(self._base, self._token, call)).content
