"""The two documents as one HTML page for people: nothing from anywhere else.

Its script does what a page without one cannot: search, the address that the page was loaded from in
the examples, and forms that call the server. All that is to be read is there without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import chain

from tocsin.server.api.specs.calls import call_section
from tocsin.server.api.specs.parts import BELL, HtmlPage, make_page
from tocsin.server.api.specs.preface import credentials_section, errors_section
from tocsin.server.api.specs.tables import Document, field_table, inline, pretty, table

_PREFACE = (("credentials", "Tokens and keys"), ("errors", "Errors"))


def docs_page(openapi: Document, asyncapi: Document) -> HtmlPage:
    """The page about both."""
    parts = [
        _introduction(openapi["info"]),
        credentials_section(),
        errors_section(),
        *_api(openapi),
        *_frames(asyncapi),
        *_types(openapi, asyncapi),
    ]
    body = (
        f'{_bar()}<div class="columns"><main>{"".join(parts)}'
        '<p class="nothing" id="nothing" hidden>Nothing here has all of these words.</p></main>'
        f"{_navigation(openapi, asyncapi)}</div>"
    )
    title = f"{openapi['info']['title']}: documentation"
    return make_page(title, body, style="docs.css", script="docs.js")


def _bar() -> str:
    return (
        f'<header class="bar"><a class="brand" href="/">{BELL}<b>Tocsin</b></a>'
        '<input class="needs-script" id="search" type="search" placeholder="Search  ( / )"'
        ' aria-label="Search this page" autocomplete="off" spellcheck="false">'
        '<a class="who needs-script" id="who" href="#credentials">No token</a>'
        '<a class="jump" href="#contents">Contents</a></header>'
    )


def _introduction(info: Document) -> str:
    paragraphs = "".join(f"<p>{inline(each)}</p>" for each in info["description"].split("\n\n"))
    return (
        f'<section class="opening"><h1>{escape(info["title"])} '
        f"<small>{escape(info['version'])}</small></h1>{paragraphs}"
        '<p>For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1) and '
        '<a href="/asyncapi.json">asyncapi.json</a> (AsyncAPI 3.0).</p></section>'
    )


# --- Finding one's way ----------------------------------------------------------------------------


def _navigation(openapi: Document, asyncapi: Document) -> str:
    groups = [
        ("First", list(_PREFACE)),
        *(
            (tag, [(each["operationId"], each["summary"]) for _, _, each in operations])
            for tag, operations in _by_tag(openapi)
        ),
        ("WebSocket and events", _frame_links(asyncapi)),
    ]
    lists = "".join(f"<h2>{escape(name)}</h2><ul>{_links(links)}</ul>" for name, links in groups)
    return f'<nav id="contents" aria-label="Contents">{lists}</nav>'


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


def _group(title: str, sections: Iterable[str], about: str = "", ident: str = "") -> str:
    named = f' id="{ident}"' if ident else ""
    return f'<div class="group"><h2{named}>{escape(title)}</h2>{about}{"".join(sections)}</div>'


# --- Contents -------------------------------------------------------------------------------------


def _api(openapi: Document) -> Iterable[str]:
    schemas = openapi["components"]["schemas"]
    for tag, operations in _by_tag(openapi):
        yield _group(tag, (call_section(*each, schemas) for each in operations))


def _frames(asyncapi: Document) -> Iterable[str]:
    channels = asyncapi["channels"]
    about = f"<p>{inline(asyncapi['info']['description'])}</p>" + "".join(
        f"<p><code>{escape(channel['address'])}</code> {inline(channel['description'])}</p>"
        for channel in channels.values()
    )
    received = {
        each["messages"][0]["$ref"].rpartition("/")[2]
        for each in asyncapi["operations"].values()
        if each["action"] == "receive"
    }
    sections = []
    for name, message in asyncapi["components"]["messages"].items():
        direction = "Client to server" if name in received else "Server to client"
        if name in channels["events"]["messages"]:
            direction += ", and an event of the stream"
        sections.append(_frame(name, message, direction, asyncapi))
    sections.append(_close_codes(channels["websocket"]))
    yield _group("WebSocket and events", sections, about)


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
            inline(each["advice"]),
        )
        for each in channel["x-close-codes"]
    ]
    codes = table(("code", "reason", "meaning", "what to do"), rows)
    return f'<section id="close-codes"><h3>Close codes</h3>{codes}</section>'


def _types(openapi: Document, asyncapi: Document) -> Iterable[str]:
    frames = asyncapi["components"]["messages"]
    schemas = chain.from_iterable(
        document["components"]["schemas"].items() for document in (openapi, asyncapi)
    )
    sections = []
    for name, schema in sorted(dict(schemas).items()):
        if name in frames:
            sections.append(f'<span id="type-{escape(name)}"></span>')
            continue
        about = inline(schema.get("description", ""))
        sections.append(
            f'<section id="type-{escape(name)}"><h3>{escape(name)}</h3>'
            f"<p>{about}</p>{field_table(schema)}</section>"
        )
    yield _group("Types", sections, ident="types")
