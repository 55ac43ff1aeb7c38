"""Tickets: a user's credential for one connection, safe enough to stand in a URL.

Browsers cannot set a header on a WebSocket or an EventSource, and a token in a URL
ends in every access log on the way. So the page trades its token for a ticket that
works once and for seconds. That it works *once* is the store's doing: it deletes the
row and returns it in one statement, so of two that try, on whatever nodes, one wins.

An EventSource comes back by itself, always to the same URL, so a ticket that works once
lets it in once. A *stream's* ticket works until it expires, and for less: for the stream
of one device, and for pages of the origin that used it first.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.principal import Principal, StreamGrant
from tocsin.server.auth.secret import SECRET_BYTES, SECRET_LENGTH, digest, spell

TICKET_PREFIX: Final = "tt_"

_TEXT: Final = re.compile(rf"{TICKET_PREFIX}[a-z2-7]{{{SECRET_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket just made. *text* goes to the client, *hash* to the store."""

    text: str = field(repr=False)
    hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """The record that the store keeps under a ticket's hash. Times are Unix seconds.

    *expires_at* ends the ticket; *principal_expires_at* ends the session it opens,
    since a session must not outlive the token that it was traded for. It stands for the user
    alone: what a token may do besides (`notify`, `admin`) does not come with a URL. A stream's has
    a *device*, and an *origin* (`""` for none) once it was used.
    """

    user: str
    expires_at: float
    principal_expires_at: float | None
    device: str | None = None
    origin: str | None = None


def generate_ticket(token_bytes: Callable[[int], bytes]) -> NewTicket:
    """Make a ticket from a source of randomness: `secrets.token_bytes`, or a seeded one."""
    text = f"{TICKET_PREFIX}{spell(token_bytes(SECRET_BYTES))}"
    return NewTicket(text, digest(text))


def ticket_for(
    principal: Principal, now: float, lifetime: float, device: str | None = None
) -> Ticket:
    """The record of a ticket that *principal* asks for. *lifetime* in seconds.

    With a *device* it is a stream's. It never outlives the principal. Raises `Forbidden`
    (`user_missing`) for an API key: a ticket opens an inbox, and a key has none.
    """
    expires_at = now + lifetime
    if principal.expires_at is not None:
        expires_at = min(expires_at, principal.expires_at)
    return Ticket(principal.require_user(), expires_at, principal.expires_at, device)


async def redeem_ticket(
    text: str, take: Callable[[bytes], Awaitable[Ticket | None]], now: float
) -> Principal:
    """Spend a ticket. *take* deletes the row of a hash and returns it; *now* in Unix seconds.

    That of a stream is not spent: the principal's `grant` says what it is good for.

    Raises `Unauthenticated` with a `ticket_…` code, or `token_expired` if the token
    behind it has ended. Errors of *take* reach the caller. If it is cancelled the
    ticket may or may not be spent: the client asks for another.
    """
    if _TEXT.fullmatch(text) is None:
        raise Unauthenticated("The ticket is not complete.", AuthCode.TICKET_MALFORMED)
    # No constant-time comparison: the store finds the row by a hash, and how long that
    # takes tells about the hash, from which nobody gets back to the text.
    key = digest(text)
    ticket = await take(key)
    if ticket is None:
        raise Unauthenticated("The ticket is not known, or has been used.", AuthCode.TICKET_UNKNOWN)
    if now >= ticket.expires_at:
        raise Unauthenticated("The ticket has expired.", AuthCode.TICKET_EXPIRED)
    if ticket.principal_expires_at is not None and now >= ticket.principal_expires_at:
        raise Unauthenticated("The token behind the ticket expired.", AuthCode.TOKEN_EXPIRED)
    return Principal(
        user=ticket.user,
        scopes=frozenset(),
        # By user, not by ticket: one who comes back with a new ticket and repeats an
        # idempotency key must meet the first answer.
        credential=f"ticket:{ticket.user}",
        expires_at=ticket.principal_expires_at,
        grant=None if ticket.device is None else StreamGrant(key, ticket.device, ticket.origin),
    )
