"""The one door: every transport turns what the client brought into a principal here.

Three ways in: the `Authorization` header (HTTP, and WebSocket clients that can set
one), the bare token in a WebSocket `hello` or `refresh`, and the ticket in a URL.
The rules that they share stand here once: what a credential looks like, and what time it is.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tocsin.server.auth.errors import FAILURES, AuthCode, Unauthenticated, failure_kind
from tocsin.server.auth.key_ring import KeyRing
from tocsin.server.auth.keys import KEY_PREFIX
from tocsin.server.auth.principal import TOKEN_LENGTH_MAX, Principal
from tocsin.server.auth.tickets import Ticket, redeem_ticket
from tocsin.server.auth.tokens import TokenVerifier

_BEARER: Final = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
"""Scheme, one or more spaces, one `token68`, and nothing else (RFC 9110 §11.4, RFC 6750 §2.1).
A header that does not match is refused as a whole: no trimming, no second guess."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*(?= |\Z)")

_HEADER_LENGTH_MAX: Final = TOKEN_LENGTH_MAX + 64
"""Characters: the scheme and some spaces in front of the longest token."""


class Authenticator:
    """Turns credentials into principals.

    *tokens* is None where no kind of JWT is configured. *take_ticket* deletes and
    returns the row of a ticket's hash. *wall_clock* gives Unix seconds.

    The methods raise `Unauthenticated` (401) or `AuthUnavailable` (503), and let
    errors of the store through. Each may wait for the store or for a key set; what
    cancelling does is told at `TokenVerifier.verify`, `KeyRing.verify`, `redeem_ticket`.
    """

    def __init__(
        self,
        tokens: TokenVerifier | None,
        keys: KeyRing,
        take_ticket: Callable[[bytes], Awaitable[Ticket | None]],
        wall_clock: Callable[[], float],
    ) -> None:
        self._tokens: Final = tokens
        self._keys: Final = keys
        self._take_ticket: Final = take_ticket
        self._wall_clock: Final = wall_clock
        self.failures: Final = dict.fromkeys(FAILURES, 0)
        """How many credentials were not believed, by kind (`failure_kind`)."""

    def known(self, value: str | None) -> Principal | None:
        """From the value of `Authorization`, if it was believed a moment ago: without waiting.

        `None` says nothing but that `from_header` has to be asked. Never raises.
        """
        if value is None or not value.startswith("Bearer "):
            return None
        text = value[7:]
        if text.startswith(KEY_PREFIX):
            return self._keys.known(text)
        return None if self._tokens is None else self._tokens.known(text, self._wall_clock())

    async def from_header(self, value: str | None) -> Principal:
        """From the value of `Authorization`, None if there is no such header.

        Two such headers are the caller's business to refuse: joined with a comma, as
        HTTP servers do, they do not match here either.
        """
        with self._counted():
            return await self._token(_bare(value))

    async def from_token(self, text: str) -> Principal:
        """From an API key or a JWT, as it stands in `hello` and `refresh`."""
        with self._counted():
            return await self._token(text)

    async def from_ticket(self, text: str) -> Principal:
        """From the `ticket` parameter of a stream's URL.

        The ticket is spent, whatever comes after. That of a stream is not: the principal has a
        `grant`, which the caller must keep to.
        """
        with self._counted():
            return await redeem_ticket(text, self._take_ticket, self._wall_clock())

    async def from_socket_ticket(self, text: str) -> Principal:
        """From the `ticket` parameter of a WebSocket's URL, which no stream's ticket opens."""
        principal = await self.from_ticket(text)
        if principal.grant is not None:
            detail = "This ticket is for a stream, and opens no WebSocket."
            self.failures["ticket"] += 1
            raise Unauthenticated(detail, AuthCode.TICKET_ELSEWHERE)
        return principal

    # --- Inside ----------------------------------------------------------------------------------

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except Unauthenticated as error:
            self.failures[failure_kind(error.code)] += 1
            raise

    async def _token(self, text: str) -> Principal:
        if not text:
            raise Unauthenticated("The token is empty.", AuthCode.TOKEN_MISSING)
        if len(text) > TOKEN_LENGTH_MAX:
            raise _too_long()
        if text.startswith(KEY_PREFIX):
            return await self._keys.verify(text)
        if self._tokens is None:
            raise Unauthenticated(
                "This server accepts API keys only; no source of token keys is configured.",
                AuthCode.TOKEN_UNSUPPORTED,
            )
        return await self._tokens.verify(text, self._wall_clock())


def _bare(value: str | None) -> str:
    """The token of an `Authorization` header; raises `Unauthenticated`."""
    if not value:
        raise Unauthenticated("The request needs an Authorization header.", AuthCode.TOKEN_MISSING)
    if len(value) > _HEADER_LENGTH_MAX:
        raise _too_long()
    match = _BEARER.fullmatch(value)
    if match is None:
        raise _refusal(value)
    return match[1]


def _too_long() -> Unauthenticated:
    return Unauthenticated(
        f"A credential has at most {TOKEN_LENGTH_MAX} characters.", AuthCode.TOKEN_TOO_LONG
    )


def _refusal(value: str) -> Unauthenticated:
    """Why a header is not `Bearer` and one token: another scheme, or not well formed."""
    scheme = _SCHEME.match(value)
    if scheme is not None and scheme[0].lower() != "bearer":
        return Unauthenticated(
            "The Authorization scheme must be Bearer.", AuthCode.AUTHORIZATION_SCHEME
        )
    return Unauthenticated(
        "The Authorization header must be 'Bearer' and one token.",
        AuthCode.AUTHORIZATION_MALFORMED,
    )
