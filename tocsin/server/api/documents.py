"""The documents of the server about itself: OpenAPI, AsyncAPI, and pages for people.

Made when somebody first asks, by code that is loaded then, and kept: they cannot change while the
process lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from tocsin.protocol.refusal import refuse
from tocsin.server.api.operation import (
    CACHING,
    Answer,
    Call,
    Caller,
    Handler,
    Header,
    Operation,
    Operations,
    UrlQuery,
)
from tocsin.server.api.specs.parts import HtmlPage, asset

_POLICY: Final = Header("Content-Security-Policy", "Nothing but what is on the page.")
_HTML: Final = "text/html; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
Defining = Callable[[Handler], Handler]

_CONSOLE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_STYLE: Final = "text/css; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_MODULE_HEADERS: Final = {"Cache-Control": "no-cache"}
_INBOX_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'",
}
"""The policy is for the service worker among the modules, which fetches nothing."""
_ICON_HEADERS: Final = {"Cache-Control": "public, max-age=86400"}


def documents_of(others: Sequence[Operation]) -> Operations:
    """The operations that describe *others*, and themselves."""
    operations = Operations("documents")

    @cache
    def openapi() -> bytes:
        from tocsin.server.api.specs.openapi import openapi_document

        return msgspec.json.encode(openapi_document([*others, *operations.all]))

    @cache
    def asyncapi() -> bytes:
        from tocsin.server.api.specs.asyncapi import asyncapi_document

        return msgspec.json.encode(asyncapi_document())

    @cache
    def docs() -> HtmlPage:
        from tocsin.server.api.specs.page import docs_page

        return docs_page(msgspec.json.decode(openapi()), msgspec.json.decode(asyncapi()))

    @operations.define(
        *("GET", "/docs", "Read about the API, as a page"),
        caller=Caller.ANYONE,
        sends=(_POLICY, CACHING),
        answers={200: str},
        produces=_HTML,
    )
    async def show_docs(call: Call[UrlQuery, None]) -> Answer:
        """It says nothing that is not in the repository, so it asks for no credential."""
        return _page(docs())

    @operations.define(
        *("GET", "/openapi.json", "Describe the HTTP API"),
        caller=Caller.ANYONE,
        answers={200: dict},
    )
    async def show_openapi(call: Call[UrlQuery, None]) -> Answer:
        """As OpenAPI 3.1."""
        return Answer(openapi())

    @operations.define(
        *("GET", "/asyncapi.json", "Describe the frames and events"),
        caller=Caller.ANYONE,
        answers={200: dict},
    )
    async def show_asyncapi(call: Call[UrlQuery, None]) -> Answer:
        """As AsyncAPI 3.0."""
        return Answer(asyncapi())

    _define_proto(operations)
    _define_home(operations, others)
    _define_modules(operations)
    _define_console(operations)
    return operations


def _define_proto(operations: Operations) -> None:
    @cache
    def proto() -> bytes:
        from tocsin.server.api.specs.proto import proto_file

        return proto_file().encode()

    @operations.define(
        *("GET", "/tocsin.proto", "Describe the frames as Protocol Buffers"),
        caller=Caller.ANYONE,
        sends=(CACHING,),
        answers={200: str},
        produces=_TEXT,
    )
    async def show_proto(call: Call[UrlQuery, None]) -> Answer:
        """As proto3, for the subprotocol `tocsin.v1.protobuf` of the WebSocket."""
        return Answer(proto(), headers=_MODULE_HEADERS)


def _define_home(operations: Operations, others: Sequence[Operation]) -> None:
    """The first page, which leads to what there is, and its icon."""

    @cache
    def home() -> HtmlPage:
        from tocsin.server.api.specs.home import home_page

        return home_page({operation.path for operation in (*others, *operations.all)})

    @operations.define(
        *("GET", "/", "Look whether it works, and where to go"),
        caller=Caller.ANYONE,
        sends=(_POLICY, CACHING),
        answers={200: str},
        produces=_HTML,
    )
    async def show_home(call: Call[UrlQuery, None]) -> Answer:
        """As a page, for people."""
        return _page(home())

    @operations.define(
        *("GET", "/favicon.ico", "Show the icon of the pages"),
        caller=Caller.ANYONE,
        sends=(CACHING,),
        answers={200: str},
        produces="image/x-icon",
    )
    async def show_icon(call: Call[UrlQuery, None]) -> Answer:
        """A bell."""
        return Answer(asset("favicon.ico"), headers=_ICON_HEADERS)


def _define_modules(operations: Operations) -> None:
    """The modules for browsers: `import { Tocsin } from "https://…/client.js"`, and `/inbox.js`."""
    folders = {name: _modules_in(f"tocsin.browser.{name}") for name in ("client", "inbox")}

    def entrance(name: str) -> Answer:
        return Answer(f'export * from "./{name}/index.js";\n'.encode(), headers=_MODULE_HEADERS)

    def part(name: str, module: str, headers: Mapping[str, str]) -> Answer:
        source = folders[name].get(module)
        if source is None:
            raise refuse("not_found", f"/{name}.js has no such part.")
        return Answer(source, headers=headers)

    def define(path: str, summary: str, problems: tuple[str, ...] = ()) -> Defining:
        return operations.define(
            *("GET", path, summary),
            caller=Caller.ANYONE,
            sends=(CACHING, _POLICY),
            answers={200: str},
            problems=problems,
            produces=_SCRIPT,
        )

    @define("/client.js", "Load the client for browsers")
    async def show_client(call: Call[UrlQuery, None]) -> Answer:
        """An ES module with all that the client offers. docs/clients.md tells how to use it."""
        return entrance("client")

    @define("/client/{module}", "Load a part of the client for browsers", ("not_found",))
    async def show_client_part(call: Call[UrlQuery, None], module: str) -> Answer:
        """A module that `/client.js` imports; their names may change from release to release."""
        return part("client", module, _MODULE_HEADERS)

    @define("/inbox.js", "Load the inbox for browsers")
    async def show_inbox_element(call: Call[UrlQuery, None]) -> Answer:
        """An ES module that defines the element `<tocsin-inbox>`, a bell with an inbox."""
        return entrance("inbox")

    @define("/inbox/{module}", "Load a part of the inbox for browsers", ("not_found",))
    async def show_inbox_part(call: Call[UrlQuery, None], module: str) -> Answer:
        """A module that `/inbox.js` imports; their names may change from release to release. One is
        no module: `worker.js`, the service worker for Web Push."""
        return part("inbox", module, _INBOX_HEADERS)


def _define_console(operations: Operations) -> None:
    """The operators' page. It asks for a key itself: what it shows is behind the API."""
    folder = files("tocsin.browser.console")
    page = HtmlPage(folder.joinpath("page.html").read_bytes(), _CONSOLE_POLICY)
    modules = _modules_in("tocsin.browser.console")
    look = folder.joinpath("look.css").read_bytes()

    @operations.define(
        *("GET", "/console", "Look at what the server does, as an operator"),
        caller=Caller.ANYONE,
        sends=(_POLICY, CACHING),
        answers={200: str},
        produces=_HTML,
    )
    async def show_console(call: Call[UrlQuery, None]) -> Answer:
        """A page that asks for an API key with the scope `admin`."""
        return _page(page)

    @operations.define(
        *("GET", "/console/look.css", "Load the look of the console"),
        caller=Caller.ANYONE,
        sends=(CACHING,),
        answers={200: str},
        produces=_STYLE,
    )
    async def show_console_look(call: Call[UrlQuery, None]) -> Answer:
        """The console's style sheet."""
        return Answer(look, headers=_MODULE_HEADERS)

    @operations.define(
        *("GET", "/console/{module}", "Load a part of the console"),
        caller=Caller.ANYONE,
        sends=(CACHING,),
        answers={200: str},
        problems=("not_found",),
        produces=_SCRIPT,
    )
    async def show_console_part(call: Call[UrlQuery, None], module: str) -> Answer:
        """A module of the console; their names may change from release to release."""
        source = modules.get(module)
        if source is None:
            raise refuse("not_found", "The console has no such part.")
        return Answer(source, headers=_MODULE_HEADERS)


def _modules_in(package: str) -> dict[str, bytes]:
    here = files(package).iterdir()
    return {each.name: each.read_bytes() for each in here if each.name.endswith(".js")}


def _page(page: HtmlPage) -> Answer:
    headers = {"Content-Security-Policy": page.policy, "Cache-Control": "no-cache"}
    return Answer(page.html, headers=headers)
