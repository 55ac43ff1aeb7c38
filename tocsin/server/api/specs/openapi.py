"""The OpenAPI 3.1 document of the HTTP API, from the records of its operations."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_origin

import msgspec

from tocsin import __version__
from tocsin.protocol.problems import CREDENTIAL_PROBLEMS, PROBLEMS, Problem, problem
from tocsin.server.api.operation import PATH_TYPES, Caller, Header, Operation
from tocsin.server.api.problems import MEDIA_TYPE
from tocsin.server.api.specs.examples import EXAMPLES, TEXTS
from tocsin.server.api.specs.schemas import Schema, components, fields_of, reference, schema_of
from tocsin.server.api.specs.words import PATHS

Document = dict[str, Any]

_ABOUT: Final = """\
Notifications that arrive: each user has one durable, ordered log, and WebSocket, event stream, \
long poll and inbox are views of it.

Every error is `application/problem+json` (RFC 9457), and its `code` is the word to go by. Besides \
what an operation lists, a request that is no valid HTTP/1.1 is answered by `400`, `408`, `413`, \
`415`, `417`, `431`, `501` or `505`, one too many by `429`, an unknown path by `404`, and another \
method by `405`. Unknown fields and query parameters are refused.
"""
AUTH_CODES: Final[dict[int, list[str]]] = {
    status: sorted(code for code, kind in CREDENTIAL_PROBLEMS.items() if kind.status == status)
    for status in (401, 403, 503)
}
"""The codes of credentials, by status."""
_SUCCESSES: Final = {
    200: "Done.",
    201: "Made.",
    202: "Kept in the spool, to be done when the store is back.",
    204: "Done.",
    304: "Nothing has changed.",
}
_COMMON_HEADERS: Final[Document] = {
    "X-Request-Id": {
        "description": "The request's own, if it is 1 to 128 of `A-Z a-z 0-9 . _ : -`; else ours",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "RFC 6750", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds until it makes sense to ask again",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def openapi_document(operations: Sequence[Operation]) -> Document:
    """The document that describes *operations*."""
    paths: Document = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tocsin", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in operations)],
        "paths": paths,
        "components": {
            "schemas": components([Problem, *_bodies(operations)]),
            "headers": _COMMON_HEADERS,
            "securitySchemes": _security_schemes(),
        },
    }


def _bodies(operations: Iterable[Operation]) -> list[Any]:
    types = [
        type_
        for each in operations
        for type_ in (each.body, *each.streamed.values(), *each.answers.values())
        if type_ not in (None, str, dict)
    ]
    return list(dict.fromkeys(types))


def _security_schemes() -> Document:
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (`tk_…`) or a JWT. A user's token reaches that user's own "
            "things; the scopes `notify` and `admin` the rest.",
        },
        "ticket": {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "From `POST /v1/tickets`: good for one connection.",
        },
    }


def _operation(operation: Operation) -> Document:
    made: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": inspect.cleandoc(operation.about),
        "tags": [operation.tag],
        "security": _security(operation),
        "parameters": [
            *_path_parameters(operation),
            *_query_parameters(operation),
            *(_header_parameter(header) for header in operation.headers),
        ],
        "responses": _responses(operation),
    }
    if operation.body is not None or operation.streamed:
        content = _request_content(operation)
        made["requestBody"] = {"required": not operation.body_optional, "content": content}
    return made


def _security(operation: Operation) -> list[Document]:
    if operation.caller is Caller.ANYONE:
        return []
    scopes = [] if operation.caller is Caller.USER else [str(operation.caller)]
    return [{"bearer": scopes}, *([{"ticket": []}] if operation.ticket else [])]


# --- Requests -------------------------------------------------------------------------------------


def path_names(path: str) -> list[str]:
    """The names between braces in *path*."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _path_parameters(operation: Operation) -> list[Document]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATHS[name],
            "schema": schema_of(PATH_TYPES[name]),
        }
        for name in path_names(operation.path)
    ]


def _query_parameters(operation: Operation) -> list[Document]:
    # The ticket is a credential, and described as one.
    credentials = {"ticket"} if operation.ticket else set()
    needed = {each.name for each in msgspec.structs.fields(operation.query) if each.required}
    return [
        _parameter(name, "query", schema) | ({"required": True} if name in needed else {})
        for name, schema in fields_of(operation.query).items()
        if name not in credentials
    ]


def _parameter(name: str, where: str, schema: Schema) -> Document:
    about = {"description": schema["description"]} if "description" in schema else {}
    rest = {key: value for key, value in schema.items() if key != "description"}
    return {"name": name, "in": where, **about, "schema": rest}


def _header_parameter(header: Header) -> Document:
    schema = schema_of(header.type)
    return {"name": header.name, "in": "header", "description": header.about, "schema": schema}


def _request_content(operation: Operation) -> Document:
    if operation.body is not None:
        return {"application/json": _json(operation.body)}
    return {
        media_type: _json(type_) if media_type == "application/json" else _lines(media_type)
        for media_type, type_ in operation.streamed.items()
    }


def _lines(media_type: str) -> Document:
    """Lines of text, of which one at least is not blank."""
    media = _text(media_type)
    media["schema"] |= {"pattern": r"[^ \t\r\n]"}
    return media


def _json(type_: Any) -> Document:
    if type_ is dict:
        return {"schema": {"type": "object"}}
    return {"schema": schema_of(type_), "example": _example(type_)}


def _example(type_: Any) -> Any:
    if type_ in EXAMPLES:
        return EXAMPLES[type_]
    [inside] = type_.__args__  # of a list, or of an annotated one
    example = _example(inside)
    return [example] if get_origin(type_) is list else example


def _text(media_type: str) -> Document:
    media: Document = {"schema": {"type": "string"}}
    if media_type in TEXTS:
        media["example"] = TEXTS[media_type]
    return media


# --- Answers --------------------------------------------------------------------------------------


def _responses(operation: Operation) -> Document:
    responses: Document = {}
    for status, type_ in operation.answers.items():
        responses[str(status)] = _success(operation, status, type_)
    for status, codes in sorted(problem_codes(operation).items()):
        wrong = _problem(status, codes)
        known = responses.setdefault(str(status), wrong)
        known["content"].update(wrong["content"])
    return responses


def _success(operation: Operation, status: int, type_: Any) -> Document:
    sent = {
        header.name: {"description": header.about, "schema": schema_of(header.type)}
        for header in operation.sends
    }
    made: Document = {
        "description": _SUCCESSES.get(status, "Not now."),
        "headers": {**_common("X-Request-Id"), **sent},
    }
    if type_ is not None:
        media_type = operation.produces.partition(";")[0]
        made["content"] = {media_type: _text(media_type) if type_ is str else _json(type_)}
    return made


def problem_codes(operation: Operation) -> dict[int, list[str]]:
    """The codes of the problems that *operation* may answer, by status."""
    codes = {"internal_error", "invalid", *operation.problems}
    if operation.caller is not Caller.ANYONE:
        codes |= {"unauthenticated", "forbidden", "store_unavailable", "overloaded"}
    elif 503 in operation.answers:
        codes |= {"overloaded"}
    if path_names(operation.path):
        codes |= {"not_found"}
    if operation.body is not None or operation.streamed:
        codes |= {"malformed", "request_timeout", "too_large"}
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    if operation.caller is not Caller.ANYONE:
        for status, words in AUTH_CODES.items():
            by_status[status] += words
    return by_status


def _problem(status: int, codes: list[str]) -> Document:
    known = [code for code in codes if code in PROBLEMS]
    titles = dict.fromkeys(PROBLEMS[code].title for code in known)
    headers = _common("X-Request-Id")
    if status in (401, 403):
        headers |= _common("WWW-Authenticate")
    if status in (409, 429, 503):
        headers |= _common("Retry-After")
    example = msgspec.to_builtins(problem(known[0], "What was wrong, for people."))
    schema = {**reference(Problem), "properties": {"code": {"enum": codes}}}
    return {
        "description": "; ".join(titles),
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }


def _common(name: str) -> Document:
    return {name: {"$ref": f"#/components/headers/{name}"}}
