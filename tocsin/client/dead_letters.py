"""Dead letters over HTTP: list them, look at one, deliver it again, let it go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec

from tocsin.client.calls import Call, UnreadableAnswer, ask

PATH: Final = "/v1/admin/dead-letters"
_REMEDIES: Final[dict[int | str, str]] = {
    404: "see `dead-letters list --status all`, and repeat",
    409: "leave it as it is, or discard it",
}


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, as far as a list shows it; see docs/protocol.md."""

    id: int
    notification: str | None
    user: str | None
    device: str | None
    cause: str
    reason: str
    attempts: int
    dead_at: str
    status: str
    connector: str | None = None
    place: str | None = None
    channel: str | None = None
    address: str | None = None
    webhook: str | None = None


class LetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """Letters, the newest first; *next* goes into the query as `before`."""

    dead_letters: list[Letter]
    next: int | None


class DeadLetters:
    """The dead letters of the server at *base*.

    Every method raises `CallFailed`; that is `UnreadableAnswer` if the answer is not one of Tocsin.
    A cancelled call may have been done all the same.
    """

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._token = token

    async def page(self, query: Mapping[str, str]) -> LetterPage:
        """Those that *query* asks for."""
        response = await self._ask("GET", "", query)
        try:
            return msgspec.json.decode(response.content, type=LetterPage)
        except msgspec.DecodeError:
            raise UnreadableAnswer(response.status_code) from None

    async def show(self, letter: int) -> Any:
        """All that is known of one, as it came."""
        response = await self._ask("GET", f"/{letter}")
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise UnreadableAnswer(response.status_code) from None

    async def replay(self, letter: int) -> None:
        """Have it delivered once more."""
        await self._ask("POST", f"/{letter}/replay")

    async def discard(self, letter: int) -> None:
        """Settle it without delivery; again is no error."""
        await self._ask("DELETE", f"/{letter}")

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        call = Call(method, PATH + path, verb="ask", scope="admin", query=query, remedies=_REMEDIES)
        return await ask(self._base, self._token, call)
