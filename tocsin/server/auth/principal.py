"""The caller and their rights: the one thing every edge needs to know.

A principal is what is left of a credential once it has been believed. It holds
no secret, so it may be logged, kept for a session's life, and compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tocsin.server.auth.errors import AuthCode, Forbidden

SCOPES: Final = frozenset({"notify", "admin"})
"""The scopes that exist. A credential that names others simply does not have them: identity
providers put their own words (`openid`, `profile`) into the same claim."""

TOKEN_LENGTH_MAX: Final = 8192
"""Characters, which are bytes here. Identity providers stay under 4 KiB, since their tokens travel
in headers; the front door reads 16 KiB of head in all."""


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """The reach of a stream's ticket: the stream of *device*, for pages of *origin*.

    *origin* is `""` for none, and None as long as nobody has used the ticket. *hash* is what the
    store knows the ticket by.
    """

    hash: bytes
    device: str
    origin: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """A believed credential.

    *user* is whose inbox it reaches, or None for an API key, which reaches none.
    *credential* names the credential without revealing it and stays the same from
    request to request: idempotency keys and rate limits hang on it.
    *expires_at* is in Unix seconds, None when it does not end by itself; a session
    opened with the credential must end by then. *grant* is of a stream's ticket,
    and what that may be used for: whoever lets a principal in looks at it.
    """

    user: str | None
    scopes: frozenset[str]
    credential: str
    expires_at: float | None
    grant: StreamGrant | None = None

    def require_scope(self, scope: str) -> None:
        """Raise `Forbidden` (`scope_missing`) unless the credential has *scope*.

        No scope implies another: `admin` alone may not publish. A key that does
        both says so, and one that leaks does only what it says. Raises `ValueError` for a scope
        that does not exist.
        """
        if scope not in SCOPES:
            raise ValueError(f"there is no scope {scope!r}")
        if scope not in self.scopes:
            detail = f"The request needs a credential with the scope {scope}."
            raise Forbidden(detail, AuthCode.SCOPE_MISSING, scope)

    def require_user(self) -> str:
        """The user whose inbox this is, or `Forbidden` (`user_missing`) for an API key."""
        if self.user is None:
            raise Forbidden(
                "The request needs a user's token; an API key has no inbox.", AuthCode.USER_MISSING
            )
        return self.user
