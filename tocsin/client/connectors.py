"""Connectors over HTTP: list them, pause and resume them, pass over a message."""

from __future__ import annotations

from typing import Final

import httpx
import msgspec

from tocsin.client.calls import Call, UnreadableAnswer, ask

PATH: Final = "/v1/admin/connectors"
_REMEDIES: Final[dict[int | str, str]] = {404: "see `connector list`, and repeat"}


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


class Connections:
    """The connectors of the server at *base*.

    Every method raises `CallFailed`; that is `UnreadableAnswer` if the answer is not one of Tocsin.
    A cancelled call may have been done all the same.
    """

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._token = token

    async def list(self) -> ConnectorsShown:
        """All of them, as the node that answers sees them."""
        response = await self._ask("GET", "")
        try:
            return msgspec.json.decode(response.content, type=ConnectorsShown)
        except msgspec.DecodeError:
            raise UnreadableAnswer(response.status_code) from None

    async def pause(self, name: str) -> None:
        """Have the connector take nothing more, on all nodes."""
        await self._ask("POST", f"/{name}/pause")

    async def resume(self, name: str) -> None:
        """Have the connector go on, on all nodes; again is no error."""
        await self._ask("POST", f"/{name}/resume")

    async def skip(self, name: str, place: str) -> None:
        """Have the connector pass over the message at *place*."""
        await self._ask("POST", f"/{name}/skip", msgspec.json.encode({"place": place}))

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        call = Call(method, PATH + path, verb="ask", scope="admin", remedies=_REMEDIES, body=body)
        return await ask(self._base, self._token, call)
