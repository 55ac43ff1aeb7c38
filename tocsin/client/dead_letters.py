"""Dead letters over HTTP: list them, look at one, deliver it again, let it go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from tocsin.client.operator_calls import OperatorCalls


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


class DeadLetterCalls(OperatorCalls):
    """The dead letters of a server; see `OperatorCalls`."""

    PATH: ClassVar[str] = "/v1/admin/dead-letters"
    REMEDIES: ClassVar[Mapping[int | str, str]] = {
        404: "see `dead-letters list --status all`, and repeat",
        409: "leave it as it is, or discard it",
    }

    async def page(self, query: Mapping[str, str]) -> LetterPage:
        """Those that *query* asks for."""
        return await self._read(LetterPage, query=query)

    async def show(self, letter: int) -> Any:
        """All that is known of one, as it came."""
        return await self._read(Any, f"/{letter}")

    async def replay(self, letter: int) -> None:
        """Have it delivered once more."""
        await self._ask("POST", f"/{letter}/replay")

    async def discard(self, letter: int) -> None:
        """Settle it without delivery; again is no error."""
        await self._ask("DELETE", f"/{letter}")
