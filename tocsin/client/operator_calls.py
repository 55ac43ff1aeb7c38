"""Calls that operators make over HTTP, about one kind of thing that a server has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import httpx
import msgspec

from tocsin.client.calls import Call, UnreadableAnswer, ask

T = TypeVar("T")


class OperatorCalls:
    """Calls below `PATH` of the server at *base*, with *token*, whose scope has to be `admin`.

    Every method raises `CallFailed`; that is `UnreadableAnswer` if the answer is not one of Tocsin.
    A cancelled call may have been done all the same.
    """

    PATH: ClassVar[str]
    REMEDIES: ClassVar[Mapping[int | str, str]] = {}
    """By status or by a problem's code: the remedy that goes before the usual one."""

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._token = token

    async def _read(
        self, kind: type[T], path: str = "", query: Mapping[str, str] | None = None
    ) -> T:
        """The answer to a `GET` below `PATH`, as a *kind*."""
        response = await self._ask("GET", path, query=query)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError:
            raise UnreadableAnswer(response.status_code) from None

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        call = Call(
            method,
            self.PATH + path,
            verb="ask",
            scope="admin",
            query=query,
            body=None if body is None else msgspec.json.encode(body),
            remedies=self.REMEDIES,
        )
        return await ask(self._base, self._token, call)
