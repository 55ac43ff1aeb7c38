"""Errors as values: RFC 9457 problem details, the same over HTTP and in `reply` frames.

`code` is the stable word that programs match on; `title` and `detail` are for people, and may
change. `type` is the place on the server's own page that says what to do about the code.

`PROBLEMS` is the one table of all codes: the answers, the OpenAPI document, `/docs` and the table
in docs/protocol.md are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from tocsin.protocol import retry_after
from tocsin.protocol.closing import Closing

TYPE_BASE: Final = "/docs#error-"
"""A reference without a host (RFC 9457 §3.1.1): a node does not know under which name it is asked,
and each one has the page of its own release."""


class ProblemKind(NamedTuple):
    """One code: its HTTP status, what people read, and how a connection says it.

    *advice* tells the client what to do. *closing* is the reason with which a transport that has
    no status ends. *retry_after* is in seconds, where nothing better is known; `None` where
    waiting alone helps nothing.
    """

    status: int
    title: str
    advice: str
    closing: Closing = Closing.MALFORMED
    retry_after: float | None = None


def _credential(advice: str) -> ProblemKind:
    return ProblemKind(401, "Authentication required", advice, Closing.UNAUTHENTICATED)


def _right(advice: str, title: str = "Not permitted") -> ProblemKind:
    return ProblemKind(403, title, advice, Closing.FORBIDDEN)


def _store(advice: str) -> ProblemKind:
    closing = Closing.STORE_UNAVAILABLE
    return ProblemKind(503, "Store unavailable", advice, closing, closing.after)


PROBLEMS: Final[Mapping[str, ProblemKind]] = {
    "malformed": ProblemKind(
        400,
        "The request could not be read",
        "The body is no JSON, or the request no HTTP. Mend the client.",
    ),
    "unauthenticated": _credential("See the codes of credentials below."),
    "forbidden": _right(
        "The credential is good, and not for this: another user, or a scope is missing."
    ),
    "topic_closed": _right(
        "Only producers subscribe users to it: ask the backend.",
        "The topic is closed to its users",
    ),
    "not_found": ProblemKind(
        404, "Not found", "Nothing is there, or nothing that this credential may see."
    ),
    "method_not_allowed": ProblemKind(
        405, "Method not allowed", "`Allow` names the methods that there are."
    ),
    "request_timeout": ProblemKind(
        408, "The request took too long", "The request did not come in time. Send it again."
    ),
    "idempotency_in_flight": ProblemKind(
        409,
        "The first request with this key is still running",
        "Send the same again after `Retry-After`.",
        retry_after=retry_after.SOON,
    ),
    "unknown_channel": ProblemKind(
        422,
        "No such channel or policy",
        "Escalate by what this server has configured; the detail names it.",
    ),
    "conflict": ProblemKind(409, "Conflict with the present state", "Look at it, and decide anew."),
    "replaced": ProblemKind(
        409,
        "The same device has connected again",
        "Give each client a `device` of its own.",
        Closing.REPLACED,
    ),
    "disconnected": ProblemKind(
        409,
        "Disconnected by an operator",
        "An operator ended it; it may come back.",
        Closing.DISCONNECTED,
    ),
    "revision_mismatch": ProblemKind(
        412, "Another revision is current", "Read it again, and change what is there now."
    ),
    "too_large": ProblemKind(413, "Too large", "Send less at a time.", Closing.FRAME_TOO_LARGE),
    "unsupported_media_type": ProblemKind(
        415, "Unsupported media type", "Send JSON, uncompressed."
    ),
    "expectation_failed": ProblemKind(
        417, "Expectation not supported", "Expect nothing but `100-continue`."
    ),
    "invalid": ProblemKind(
        422,
        "Validation failed",
        "`errors` names the fields. Unknown fields and parameters are errors too.",
    ),
    "idempotency_key_reused": ProblemKind(
        422, "This key was used for another request", "A new request needs a new key."
    ),
    "too_old": ProblemKind(
        422,
        "It waited for too long",
        "Only in dead letters of connectors: replay it, or raise `age_max`.",
    ),
    "upgrade_required": ProblemKind(
        426, "Upgrade required", "Speak version 13 of the WebSocket protocol."
    ),
    "rate_limited": ProblemKind(
        429,
        "Too many requests",
        "Come back after `Retry-After`.",
        Closing.RATE_LIMITED,
        Closing.RATE_LIMITED.after,
    ),
    "request_header_fields_too_large": ProblemKind(
        431, "Request head too large", "Send fewer or shorter header fields."
    ),
    "internal_error": ProblemKind(
        500,
        "Internal error",
        "It is logged, by `X-Request-Id`. Send it again a little later.",
        Closing.INTERNAL_ERROR,
    ),
    "not_implemented": ProblemKind(
        501, "Transfer coding not supported", "Send a `Content-Length`, or `chunked`."
    ),
    "bus_unavailable": ProblemKind(
        503,
        "Other nodes unavailable",
        "Other nodes cannot be asked. Send it again after `Retry-After`.",
        Closing.STORE_UNAVAILABLE,
        retry_after.BUS_AWAY,
    ),
    "store_unavailable": _store(
        "Nothing is known to have changed. Send it again after `Retry-After`."
    ),
    "overloaded": ProblemKind(
        503,
        "Overloaded",
        "Send it again after `Retry-After`.",
        Closing.OVERLOADED,
        Closing.OVERLOADED.after,
    ),
    "http_version_not_supported": ProblemKind(
        505, "HTTP version not supported", "Speak HTTP/1.1, or use a proxy that does."
    ),
}
"""Every code but those of credentials."""

CREDENTIAL_PROBLEMS: Final[Mapping[str, ProblemKind]] = {
    "token_missing": _credential("Send `Authorization: Bearer …`."),
    "authorization_malformed": _credential("The header is not `Bearer` and one credential."),
    "authorization_scheme": _credential("Only `Bearer` is understood."),
    "token_too_long": _credential("It is longer than tokens may be."),
    "token_malformed": _credential(
        "It is neither a JWT nor an API key; perhaps a part was not copied."
    ),
    "token_unsupported": _credential("This server verifies no tokens: it knows API keys only."),
    "token_type": _credential("It is a token of another kind, such as one for refreshing."),
    "token_algorithm": _credential(
        "It is signed in another way than this server was told to believe."
    ),
    "token_key_unknown": _credential("It names a key that this server does not know."),
    "token_signature": _credential(
        "It was signed with another secret, such as that of another data directory."
    ),
    "token_claim_missing": _credential("A claim that is needed is not in it."),
    "token_claim_invalid": _credential("A claim cannot be used as it is."),
    "token_expired": _credential("Get a new one."),
    "token_not_yet_valid": _credential("Its `nbf` is ahead of this server's clock."),
    "token_issuer": _credential("It is from another issuer than `jwt_issuer`."),
    "token_audience": _credential("It was made for another audience than `jwt_audience`."),
    "key_malformed": _credential("A part of the key was not copied."),
    "key_unknown": _credential("No such key: of another server, or of another data directory."),
    "key_revoked": _credential("It was revoked, for good. Make a new one."),
    "ticket_malformed": _credential("A part of the ticket was not copied."),
    "ticket_unknown": _credential("It is used already, or was never given."),
    "ticket_expired": _credential("Get a new one, and use it at once."),
    "ticket_elsewhere": _credential("It belongs to another device or origin."),
    "scope_missing": _right("The credential lacks the scope that the call names."),
    "user_missing": _right("An API key has no inbox: use a user's token."),
    "jwks_unavailable": _store("The identity provider's keys cannot be had now. Come back."),
    "keys_busy": _store("Too many keys are being looked up. Come back."),
    "keys_unavailable": _store("Keys cannot be looked up while the store is away. Come back."),
}
"""The codes that say more of a credential than `unauthenticated`, `forbidden` and
`store_unavailable` do; each has the status and title of its like."""

_ALL: Final[Mapping[str, ProblemKind]] = {**PROBLEMS, **CREDENTIAL_PROBLEMS}


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong, and where: *path* is a JSONPath such as `$.to.users[3]`."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem as it goes over the wire."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] = []


def kind_of(code: str) -> ProblemKind:
    """The table's line for *code*; raises `KeyError` for a code that is not in it."""
    return _ALL[code]


def problem(code: str, detail: str, errors: list[FieldError] | None = None) -> Problem:
    """The problem named *code*; raises `KeyError` for a code that is not in the table."""
    kind = _ALL[code]
    return Problem(TYPE_BASE + code, kind.title, kind.status, detail, code, errors or [])
