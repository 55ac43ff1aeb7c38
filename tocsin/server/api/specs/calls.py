"""One call on the page: what it is, an example, and a form that makes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Final

from tocsin.server.api.specs.examples import PATH_EXAMPLES
from tocsin.server.api.specs.openapi import AUTH_CODES
from tocsin.server.api.specs.tables import (
    Document,
    default_text,
    field_table,
    inline,
    pretty,
    table,
    type_text,
)

ORIGIN: Final = '<span class="origin">http://127.0.0.1:8080</span>'
"""Stands for the address that the page was loaded from."""
_COMMON: Final = frozenset(
    {"invalid", "internal_error", "unauthenticated", "forbidden", "store_unavailable", "overloaded"}
    | {"malformed", "request_timeout", "too_large", "not_found"}
)
"""Codes that are told where all are, and not with each call."""
_FOR_BROWSERS: Final = frozenset({"Origin"})
"""Headers that a browser writes itself."""
_UNTRIED: Final = frozenset({"text/html", "image/x-icon"})
"""The pages that are looked at by opening them."""


def call_section(method: str, path: str, operation: Document, schemas: Document) -> str:
    """The section of one operation."""
    return (
        f'<section class="call" id="{escape(operation["operationId"])}">'
        f"<h3>{inline(operation['summary'])}</h3>"
        f'<p class="path"><span class="method {method}">{method.upper()}</span>'
        f"<code>{escape(path)}</code></p>"
        f"<p>{inline(operation['description'])}</p>"
        f'<p class="soft">{_caller(operation["security"])}</p>'
        f"{_parameters(operation['parameters'])}"
        f"{_body(operation.get('requestBody'), schemas)}"
        f"<h4>Example</h4><pre><code>{_curl(method, path, operation)}</code></pre>"
        f"{_form(method, path, operation)}"
        f"{_answers(operation['responses'])}</section>"
    )


def _caller(security: list[dict[str, list[str]]]) -> str:
    if not security:
        return "For everybody; no credential is asked for."
    scopes = security[0]["bearer"]
    if not scopes:
        who = "With a user's token."
    else:
        who = f"With a key or token that has the scope <code>{escape(scopes[0])}</code>."
    return f"{who} A ticket in the query will do." if len(security) > 1 else who


def _parameters(parameters: list[Document]) -> str:
    if not parameters:
        return ""
    rows = [
        (
            f"<code>{escape(each['name'])}</code>",
            escape(each["in"]),
            type_text(each["schema"]),
            "required" if each.get("required") else default_text(each["schema"]),
            inline(each.get("description", "")),
        )
        for each in parameters
    ]
    return f"<h4>Parameters</h4>{table(('name', 'in', 'what', '', 'about'), rows)}"


def _body(body: Document | None, schemas: Document) -> str:
    if body is None:
        return ""
    kinds = []
    for media_type, media in body["content"].items():
        kinds.append(f"<p><code>{escape(media_type)}</code>: {type_text(media['schema'])}</p>")
        if target := media["schema"].get("$ref"):
            kinds.append(field_table(schemas[target.rpartition("/")[2]]))
    return f"<h4>Body</h4>{''.join(kinds)}"


# --- Making it ------------------------------------------------------------------------------------


def _curl(method: str, path: str, operation: Document) -> str:
    address = re.sub(r"\{(\w+)\}", lambda name: PATH_EXAMPLES[name[1]], path)
    streams = "text/event-stream" in _content_of_200(operation)
    command = "curl -N" if streams else "curl" if method == "get" else f"curl -X {method.upper()}"
    lines = [f"{command} {ORIGIN}{escape(address)}"]
    if operation["security"]:
        lines.append(escape('-H "Authorization: Bearer $TOKEN"'))
    if "requestBody" in operation:
        media_type, media = next(iter(operation["requestBody"]["content"].items()))
        lines += [
            escape(f"-H 'Content-Type: {media_type}'"),
            escape(f"-d '{pretty(media['example'])}'"),
        ]
    return " \\\n  ".join(lines)


def _content_of_200(operation: Document) -> Document:
    content: Document = operation["responses"].get("200", {}).get("content", {})
    return content


def _form(method: str, path: str, operation: Document) -> str:
    """Filled in as the example is; the script sends it."""
    if _UNTRIED & _content_of_200(operation).keys():
        return f'<p class="needs-script"><a href="{escape(path)}">Open it</a></p>'
    name = operation["operationId"]
    fields = "".join(
        _field(f"{name}-{number}", each)
        for number, each in enumerate(operation["parameters"])
        if each["name"] not in _FOR_BROWSERS
    )
    body, media_type = "", ""
    if "requestBody" in operation:
        media_type, media = next(iter(operation["requestBody"]["content"].items()))
        body = (
            f'<label for="{name}-body">body</label><textarea id="{name}-body" spellcheck="false"'
            f' rows="8">{escape(pretty(media["example"]))}</textarea>'
        )
    asks = "yes" if operation["security"] else "no"
    return (
        '<details class="try needs-script"><summary>Try it here</summary>'
        f'<form data-method="{method.upper()}" data-path="{escape(path)}"'
        f' data-media="{escape(media_type)}" data-asks="{asks}">{fields}{body}'
        '<p class="send"><button>Send</button><button type="button" class="stop" hidden>Stop'
        '</button><span class="soft"></span></p></form>'
        '<div class="answer" hidden><p class="line"></p><details><summary>Headers</summary>'
        "<pre><code></code></pre></details><pre><code></code></pre></div></details>"
    )


def _field(ident: str, parameter: Document) -> str:
    name, where = parameter["name"], parameter["in"]
    filled = PATH_EXAMPLES[name] if where == "path" else ""
    default = parameter["schema"].get("default")
    hint = "" if default is None else f"{json.dumps(default)} by default"
    label = f'<label for="{ident}">{escape(name)} <span class="soft">{escape(where)}</span></label>'
    known = f'id="{ident}" data-name="{escape(name)}" data-in="{escape(where)}"'
    if choices := parameter["schema"].get("enum"):
        options = "".join(f"<option>{escape(str(each))}</option>" for each in choices)
        return f'{label}<select {known}><option value="">{escape(hint)}</option>{options}</select>'
    return (
        f'{label}<input {known} value="{escape(filled)}" placeholder="{escape(hint)}"'
        ' autocomplete="off" spellcheck="false">'
    )


# --- Answers --------------------------------------------------------------------------------------


def _answers(responses: Document) -> str:
    told = {status: each for status, each in responses.items() if _is_told(each)}
    rows = [
        (f"<code>{status}</code>", inline(answer["description"]), *_content(answer))
        for status, answer in told.items()
    ]
    examples = [
        f"<details><summary>An answer</summary><pre><code>{_example(media)}</code></pre></details>"
        for status, answer in told.items()
        if status.startswith("2")
        for media in answer.get("content", {}).values()
        if "example" in media
    ]
    answers = table(("status", "meaning", "body", "headers"), rows)
    return f"<h4>Answers</h4>{answers}{''.join(examples)}{_errors(responses.values())}"


def _is_told(answer: Document) -> bool:
    """Whether it is another one than a problem."""
    return not answer.get("content") or any(
        media_type != "application/problem+json" for media_type in answer["content"]
    )


def _content(answer: Document) -> tuple[str, str]:
    bodies = [
        type_text(media["schema"])
        for media_type, media in answer.get("content", {}).items()
        if media_type != "application/problem+json"
    ]
    headers = [escape(name) for name in answer["headers"] if name != "X-Request-Id"]
    return "<br>".join(bodies), "<br>".join(headers)


def _errors(answers: Iterable[Document]) -> str:
    """The codes of this call's own."""
    own = [
        code
        for answer in answers
        for media in answer.get("content", {}).values()
        for code in media["schema"].get("properties", {}).get("code", {}).get("enum", [])
        if code not in _COMMON and not _of_credentials(code)
    ]
    links = ", ".join(f'<a href="#error-{code}"><code>{code}</code></a>' for code in own)
    also = f"{links}; and what any call may run into" if links else "what any call may run into"
    return f'<p class="soft">Errors: {also} (<a href="#errors">all errors</a>).</p>'


def _of_credentials(code: str) -> bool:
    return any(code in codes for codes in AUTH_CODES.values())


def _example(media: Document) -> str:
    example = media["example"]
    return escape(example if isinstance(example, str) else pretty(example))
