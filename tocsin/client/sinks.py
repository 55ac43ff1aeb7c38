"""Sinks in brokers over HTTP: list, pause, enable and rewind them."""

from __future__ import annotations

from typing import Final

import httpx
import msgspec

from tocsin.client.calls import Call, UnreadableAnswer, ask

PATH: Final = "/v1/admin/sinks"
_REMEDIES: Final[dict[int | str, str]] = {404: "see `sink list`, and repeat"}


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


class SinkCalls:
    """The sinks of the server at *base*. Every method raises `CallFailed`, `list` also
    `UnreadableAnswer`. Cancelled, what was asked for may have been done.
    """

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._token = token

    async def list(self) -> SinksShown:
        """All of them."""
        response = await self._ask("GET", "")
        try:
            return msgspec.json.decode(response.content, type=SinksShown)
        except msgspec.DecodeError:
            raise UnreadableAnswer(response.status_code) from None

    async def pause(self, name: str) -> None:
        """Have nothing more carried to the sink; it keeps its place."""
        await self._ask("POST", f"/{name}/pause")

    async def enable(self, name: str) -> None:
        """Have a paused or disabled sink go on; of an active one it forgets failures."""
        await self._ask("POST", f"/{name}/enable")

    async def rewind(self, name: str, since: str) -> None:
        """Have all receipts since an instant (RFC 3339) carried again."""
        await self._ask("POST", f"/{name}/rewind", msgspec.json.encode({"since": since}))

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        call = Call(method, PATH + path, verb="ask", scope="admin", remedies=_REMEDIES, body=body)
        return await ask(self._base, self._token, call)
