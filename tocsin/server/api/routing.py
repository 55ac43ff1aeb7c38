"""From a request to an operation's handler and back: the same way for all, as its record says.

In this order, so that nobody learns more than they may: who is it, may they, then what do they ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from quart import Quart, Response, request
from werkzeug.exceptions import MethodNotAllowed, UnsupportedMediaType

from tocsin.protocol.problems import refuse
from tocsin.server.api.operation import PATH_TYPES, Answer, Call, Caller, Operation
from tocsin.server.auth import Authenticator, Principal
from tocsin.server.decoding import decode, read_query, read_text
from tocsin.server.publishing import Publishing
from tocsin.server.services import Services

_ANYONE: Final = Principal(user=None, scopes=frozenset(), credential="", expires_at=None)


def mount(
    app: Quart, operations: Iterable[Operation], services: Services, publishing: Publishing
) -> None:
    """Serve *operations* as routes of *app*."""
    app.url_map.merge_slashes = False  # or `//` is redirected, in HTML
    for operation in operations:
        app.add_url_rule(
            operation.path.replace("{", "<").replace("}", ">"),
            operation.name,
            _view(operation, services, publishing),
            methods=[operation.method],
        )


def _view(
    operation: Operation, services: Services, publishing: Publishing
) -> Callable[..., Awaitable[Response]]:
    async def view(**path: str) -> Response:
        if operation.acts and request.method == "HEAD":
            # HEAD comes with every GET, but this one takes the device's place.
            raise MethodNotAllowed([operation.method])
        principal = await _identify(operation, services.authenticator)
        values = _read_path(path)
        call = Call(
            services=services,
            publishing=publishing,
            principal=principal,
            query=read_query(operation.query, request.args.to_dict(flat=False)),
            headers={each.name: request.headers.get(each.name) for each in operation.headers},
            body=await _read_body(operation),
        )
        answer = await operation.handler(call, **values)
        return respond(operation, answer) if isinstance(answer, Answer) else answer

    return view


async def _identify(operation: Operation, authenticator: Authenticator) -> Principal:
    """Who calls; raises `Unauthenticated`, `Forbidden` or `AuthUnavailable`."""
    if operation.caller is Caller.ANYONE:
        return _ANYONE
    values = request.headers.getlist("Authorization")
    # The header first, as on the WebSocket.
    if operation.ticket and not values and "ticket" in request.args:
        principal = await authenticator.from_ticket(request.args["ticket"])
    else:
        # Two of them is a trick; joined, they match no scheme.
        principal = await authenticator.from_header(", ".join(values) if values else None)
    if operation.caller is Caller.USER:
        principal.require_user()
    else:
        principal.require_scope(operation.caller)
    return principal


_UNSAID: Final = ("", "application/x-www-form-urlencoded")
"""Media types of who says nothing: the second is what `curl -d` says by itself. Taken for JSON."""


def _read_path(path: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for name, text in path.items():
        try:
            values[name] = read_text(PATH_TYPES[name], text)
        except ValueError:
            raise refuse("not_found", f"Nothing can be called this: {name}.") from None
    return values


class _NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be said to an operation that is told nothing."""


async def _read_body(operation: Operation) -> Any:
    """The body as the operation wants it, bounded in bytes and time by the HTTP host."""
    if operation.streamed:
        if request.mimetype not in {*operation.streamed, *_UNSAID}:
            raise UnsupportedMediaType(f"Give {' or '.join(operation.streamed)}.")
        return request.body
    if operation.body is None and operation.method == "GET":
        return None
    body = await request.get_data()
    assert isinstance(body, bytes)
    if operation.body is None:
        if body:
            decode(_NoFields, body)
        return None
    return decode(operation.body, body)


def respond(operation: Operation, answer: Answer) -> Response:
    """*answer* as a response, if it is one of those that the operation declares."""
    declared = operation.answers[answer.status]
    body = answer.body
    undeclared = answer.headers.keys() - {header.name for header in operation.sends}
    assert not undeclared, f"{operation.name} does not send {', '.join(undeclared)}"
    if isinstance(body, msgspec.Struct):
        assert type(body) is declared, f"{operation.name} does not answer {type(body).__name__}"
        body = msgspec.json.encode(body)
    response = Response(body or b"", answer.status)
    if body is None:
        del response.headers["Content-Type"]
    else:
        response.headers["Content-Type"] = operation.produces
    response.headers.update(answer.headers)
    return response
