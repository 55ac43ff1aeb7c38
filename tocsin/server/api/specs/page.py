"""The two documents as one HTML page for people: no script, nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from itertools import chain
from typing import Final

from tocsin.server.api.specs.style import STYLE
from tocsin.server.api.specs.tables import Document, field_table, inline, pretty, table, type_text

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render_page(openapi: Document, asyncapi: Document) -> bytes:
    """The page about both, as HTML in UTF-8."""
    parts = [
        _introduction(openapi["info"]),
        *_api(openapi),
        *_frames(asyncapi),
        _close_codes(asyncapi["channels"]["websocket"]),
        *_types(openapi, asyncapi),
    ]
    title = escape(openapi["info"]["title"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: the wire</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main>{_navigation(openapi, asyncapi)}"
        '<a class="jump" href="#contents">Contents</a></body></html>'
    ).encode()


def _introduction(info: Document) -> str:
    paragraphs = "".join(f"<p>{inline(each)}</p>" for each in info["description"].split("\n\n"))
    version = escape(info["version"])
    return (
        f"<header><h1>{escape(info['title'])} <small>{version}</small></h1>{paragraphs}"
        '<p class="soft">For programs: <a href="/openapi.json">/openapi.json</a> and '
        '<a href="/asyncapi.json">/asyncapi.json</a>, with the scope <code>admin</code>.</p>'
        "</header>"
    )


# --- Finding one's way ----------------------------------------------------------------------------


def _navigation(openapi: Document, asyncapi: Document) -> str:
    groups = [
        (tag, [(each["operationId"], each["summary"]) for _, _, each in operations])
        for tag, operations in _by_tag(openapi)
    ]
    groups.append(("WebSocket and events", _frame_links(asyncapi)))
    lists = "".join(f"<h2>{escape(name)}</h2><ul>{_links(links)}</ul>" for name, links in groups)
    return f'<nav id="contents">{lists}</nav>'


def _frame_links(asyncapi: Document) -> list[tuple[str, str]]:
    messages = asyncapi["components"]["messages"]
    frames = [(f"frame-{each}", f"`{message['name']}`") for each, message in messages.items()]
    return [*frames, ("close-codes", "Close codes"), ("types", "Types")]


def _links(links: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<li><a href="#{escape(to)}">{inline(text)}</a></li>' for to, text in links)


def _by_tag(openapi: Document) -> list[tuple[str, list[tuple[str, str, Document]]]]:
    operations = [
        (method, path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return [
        (tag["name"], [each for each in operations if tag["name"] in each[2]["tags"]])
        for tag in openapi["tags"]
    ]


# --- HTTP -----------------------------------------------------------------------------------------


def _api(openapi: Document) -> Iterable[str]:
    for tag, operations in _by_tag(openapi):
        yield f"<h2>{escape(tag)}</h2>"
        for method, path, operation in operations:
            yield _operation(method, path, operation, openapi["components"]["schemas"])


def _operation(method: str, path: str, operation: Document, schemas: Document) -> str:
    return (
        f'<section id="{escape(operation["operationId"])}"><h3>{inline(operation["summary"])}</h3>'
        f'<p class="path"><span class="method {method}">{method.upper()}</span>'
        f"<code>{escape(path)}</code></p>"
        f"<p>{inline(operation['description'])}</p>"
        f'<p class="soft">{_caller(operation["security"])}</p>'
        f"{_parameters(operation['parameters'])}"
        f"{_body(operation.get('requestBody'), schemas)}"
        f"<h4>Try it</h4><pre><code>{escape(_curl(method, path, operation))}</code></pre>"
        f"{_answers(operation['responses'])}</section>"
    )


def _caller(security: list[dict[str, list[str]]]) -> str:
    if not security:
        return "For everybody; no credential is asked for."
    scopes = security[0]["bearer"]
    who = f"With the scope <code>{escape(scopes[0])}</code>." if scopes else "For a user."
    return f"{who} A ticket in the query will do." if len(security) > 1 else who


def _parameters(parameters: list[Document]) -> str:
    if not parameters:
        return ""
    rows = [
        (
            f"<code>{escape(each['name'])}</code>",
            escape(each["in"]),
            type_text(each["schema"]),
            inline(each.get("description", "")),
        )
        for each in parameters
    ]
    return f"<h4>Parameters</h4>{table(('name', 'in', 'what', 'about'), rows)}"


def _body(body: Document | None, schemas: Document) -> str:
    if body is None:
        return ""
    kinds = []
    for media_type, media in body["content"].items():
        kinds.append(f"<p><code>{escape(media_type)}</code>: {type_text(media['schema'])}</p>")
        if target := media["schema"].get("$ref"):
            kinds.append(field_table(schemas[target.rpartition("/")[2]]))
    return f"<h4>Body</h4>{''.join(kinds)}"


def _curl(method: str, path: str, operation: Document) -> str:
    address = re.sub(r"\{(\w+)\}", lambda name: f"${name[1].upper()}", path)
    lines = [f'curl -X {method.upper()} "http://127.0.0.1:8080{address}"']
    if operation["security"]:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        media_type, media = next(iter(operation["requestBody"]["content"].items()))
        example = pretty(media["example"])
        lines += [f"-H 'Content-Type: {media_type}'", f"-d '{example}'"]
    return " \\\n  ".join(lines).replace("curl -X GET", "curl")


def _answers(responses: Document) -> str:
    rows = [
        (f"<code>{status}</code>", inline(answer["description"]), *_content(answer))
        for status, answer in responses.items()
    ]
    examples = [
        f"<details><summary>An answer</summary><pre><code>{_example(media)}</code></pre></details>"
        for status, answer in responses.items()
        if status.startswith("2")
        for media in answer.get("content", {}).values()
        if "example" in media
    ]
    heads = ("status", "meaning", "body", "headers")
    return f"<h4>Answers</h4>{table(heads, rows)}{''.join(examples)}"


def _content(answer: Document) -> tuple[str, str]:
    bodies = [_answer_type(media["schema"]) for media in answer.get("content", {}).values()]
    headers = [escape(name) for name in answer["headers"] if name != "X-Request-Id"]
    return "<br>".join(bodies), "<br>".join(headers)


def _answer_type(schema: Document) -> str:
    if codes := schema.get("properties", {}).get("code", {}).get("enum"):
        shown = ", ".join(f"<code>{escape(code)}</code>" for code in codes[:3])
        rest = ", ".join(f"<code>{escape(code)}</code>" for code in codes[3:])
        return shown + (f"<details><summary>more</summary>{rest}</details>" if rest else "")
    return type_text(schema)


def _example(media: Document) -> str:
    example = media["example"]
    return escape(example if isinstance(example, str) else pretty(example))


# --- Frames ---------------------------------------------------------------------------------------


def _frames(asyncapi: Document) -> Iterable[str]:
    channels = asyncapi["channels"]
    yield "<h2>WebSocket and events</h2>"
    yield f"<p>{inline(asyncapi['info']['description'])}</p>"
    for channel in channels.values():
        about = inline(channel["description"])
        yield f"<p><code>{escape(channel['address'])}</code> {about}</p>"
    received = {
        each["messages"][0]["$ref"].rpartition("/")[2]
        for each in asyncapi["operations"].values()
        if each["action"] == "receive"
    }
    for name, message in asyncapi["components"]["messages"].items():
        direction = "Client to server" if name in received else "Server to client"
        if name in channels["events"]["messages"]:
            direction += ", and an event of the stream"
        yield _frame(name, message, direction, asyncapi)


def _frame(name: str, message: Document, direction: str, asyncapi: Document) -> str:
    example = pretty(message["examples"][0]["payload"])
    schema = asyncapi["components"]["schemas"][name]
    return (
        f'<section id="frame-{escape(name)}"><h3><code>{escape(message["name"])}</code></h3>'
        f'<p>{inline(schema["description"])}</p><p class="soft">{direction}</p>'
        f"{field_table(schema)}<details><summary>An example</summary>"
        f"<pre><code>{escape(example)}</code></pre></details></section>"
    )


def _close_codes(channel: Document) -> str:
    rows = [
        (
            f"<code>{each['code']}</code>",
            f"<code>{escape(each['reason'])}</code>",
            inline(each["description"]),
            "after <code>after</code> seconds" if each["reconnect"] else "not as it is",
        )
        for each in channel["x-close-codes"]
    ]
    codes = table(("code", "reason", "meaning", "come back?"), rows)
    return f'<section id="close-codes"><h3>Close codes</h3>{codes}</section>'


def _types(openapi: Document, asyncapi: Document) -> Iterable[str]:
    yield '<h2 id="types">Types</h2>'
    frames = asyncapi["components"]["messages"]
    schemas = chain.from_iterable(
        document["components"]["schemas"].items() for document in (openapi, asyncapi)
    )
    for name, schema in sorted(dict(schemas).items()):
        if name in frames:
            yield f'<span id="type-{escape(name)}"></span>'
            continue
        about = inline(schema.get("description", ""))
        yield (
            f'<section id="type-{escape(name)}"><h3>{escape(name)}</h3>'
            f"<p>{about}</p>{field_table(schema)}</section>"
        )
