"""From what was asked to an operation's handler and back: the same way for all, as its record says.

In this order, so that nobody learns more than they may: who is it, may they, then what do they
ask. The door calls this for the hot operations, Quart's views for the others, and the simulation
for all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec

from tocsin.protocol.refusal import refuse
from tocsin.server.api.operation import PATH_TYPES, Answer, Call, Caller, Operation, Streamed
from tocsin.server.auth.authenticator import Authenticator
from tocsin.server.auth.principal import Principal
from tocsin.server.decoding import decode, read_query, read_text
from tocsin.server.http.response import Whole
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

ANYONE: Final = Principal(user=None, scopes=frozenset(), credential="", expires_at=None)
"""The caller of an operation that needs no credential."""
_UNSAID: Final = ("", "application/x-www-form-urlencoded")
"""Media types of who says nothing: the second is what `curl -d` says by itself. Taken for JSON."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A call of an operation, free of any HTTP library; *header* gives one by its name."""

    principal: Principal
    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    header: Callable[[str], str | None]
    body: bytes | AsyncIterator[bytes] = b""
    address: str = ""
    request_id: str = ""


async def serve(
    operation: Operation, services: Services, publishing: Publishing, asked: Asked
) -> Answer | Streamed:
    """Do what is *asked*. Raises `Refused`, `AuthError`, and what a bug raises.

    Cancelled, it may have been done.
    """
    check_caller(operation, asked.principal)
    values = _read_path(asked.path) if asked.path else {}
    media_type = ""
    body: Any = asked.body
    if operation.streamed:
        media_type = _media_type(operation, asked.header("Content-Type"))
    else:
        assert isinstance(body, bytes)
        body = _read_body(operation, body)
    call = Call(
        services=services,
        publishing=publishing,
        principal=asked.principal,
        query=read_query(operation.query, asked.query),
        headers={each.name: asked.header(each.name) for each in operation.headers},
        body=body,
        media_type=media_type,
        address=asked.address,
        request_id=asked.request_id,
    )
    return await operation.handler(call, **values)


def check_caller(operation: Operation, principal: Principal) -> None:
    """Raise `Forbidden` unless *principal* may call *operation*."""
    if operation.caller is Caller.USER:
        principal.require_user()
    elif operation.caller is not Caller.ANYONE:
        principal.require_scope(operation.caller)


def known_caller(
    operation: Operation, authenticator: Authenticator, authorization: str | None
) -> Principal | None:
    """The caller, where that is known without waiting; raises `Forbidden`."""
    if operation.caller is Caller.ANYONE:
        return ANYONE
    principal = authenticator.known(authorization)
    if principal is not None:
        check_caller(operation, principal)
    return principal


async def identify_caller(
    operation: Operation,
    authenticator: Authenticator,
    authorization: str | None,
    ticket: str | None,
) -> Principal:
    """The caller; raises `Unauthenticated`, `Forbidden` or `AuthUnavailable`, or what the store
    does. Cancelled, a ticket may have been spent."""
    # The header first, as on the WebSocket.
    if operation.ticket and authorization is None and ticket is not None:
        principal = await authenticator.from_ticket(ticket)
    else:
        principal = await authenticator.from_header(authorization)
    check_caller(operation, principal)
    return principal


def whole(operation: Operation, answer: Answer) -> Whole:
    """*answer* as bytes, if it is one of those that the operation declares."""
    declared = operation.answers[answer.status]
    body = answer.body
    names = answer.headers.keys()
    assert names <= operation.sent_names, f"{operation.name} does not send all of {set(names)}"
    if isinstance(body, msgspec.Struct):
        assert type(body) is declared, f"{operation.name} does not answer {type(body).__name__}"
        body = msgspec.json.encode(body)
    if body is not None and operation.produces == "application/json":
        body += b"\n"  # for people with curl, whose prompt would stand behind the answer
    media_type = answer.media_type or operation.produces
    return Whole(answer.status, body, media_type, tuple(answer.headers.items()))


class _NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an operation that takes none."""


def _read_path(path: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for name, text in path.items():
        try:
            values[name] = read_text(PATH_TYPES[name], text)
        except ValueError:
            raise refuse(
                "not_found", f"The {name} in the path is malformed, so it names nothing."
            ) from None
    return values


def _read_body(operation: Operation, body: bytes) -> Any:
    if operation.body is not None:
        return None if operation.body_optional and not body else decode(operation.body, body)
    if body and operation.method != "GET":
        decode(_NoFields, body)
    return None


def _media_type(operation: Operation, content_type: str | None) -> str:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type not in {*operation.streamed, *_UNSAID}:
        raise refuse("unsupported_media_type", f"Give {' or '.join(operation.streamed)}.")
    return media_type
