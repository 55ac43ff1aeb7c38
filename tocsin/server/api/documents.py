"""What the server says about itself: OpenAPI, AsyncAPI, and a page for people.

Made when somebody first asks, and then kept: they cannot change while the process lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import msgspec

from tocsin.server.api.operation import (
    CACHING,
    Answer,
    Call,
    Caller,
    Header,
    Operation,
    Operations,
    Query,
)
from tocsin.server.api.specs.asyncapi import asyncapi_document
from tocsin.server.api.specs.openapi import openapi_document
from tocsin.server.api.specs.page import CONTENT_SECURITY_POLICY, render_page

_POLICY: Final = Header("Content-Security-Policy", "Nothing but what is on the page.")
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
}


def documents_of(others: Sequence[Operation]) -> Operations:
    """The operations that describe *others*, and themselves."""
    operations = Operations("documents")

    @cache
    def openapi() -> bytes:
        return msgspec.json.encode(openapi_document([*others, *operations.all]))

    @cache
    def asyncapi() -> bytes:
        return msgspec.json.encode(asyncapi_document())

    @cache
    def page() -> bytes:
        return render_page(msgspec.json.decode(openapi()), msgspec.json.decode(asyncapi()))

    @operations.define(
        *("GET", "/openapi.json", "Describe the HTTP API"),
        caller=Caller.ADMIN,
        answers={200: dict},
    )
    async def show_openapi(call: Call[Query, None]) -> Answer:
        """As OpenAPI 3.1."""
        return Answer(openapi())

    @operations.define(
        *("GET", "/asyncapi.json", "Describe the frames and events"),
        caller=Caller.ADMIN,
        answers={200: dict},
    )
    async def show_asyncapi(call: Call[Query, None]) -> Answer:
        """As AsyncAPI 3.0."""
        return Answer(asyncapi())

    @operations.define(
        *("GET", "/docs", "Read about both, as a page"),
        caller=Caller.ANYONE,
        sends=(_POLICY, CACHING),
        answers={200: str},
        produces="text/html; charset=utf-8",
    )
    async def show_docs(call: Call[Query, None]) -> Answer:
        """It says nothing that is not in the repository, so it asks for no credential."""
        return Answer(page(), headers=_PAGE_HEADERS)

    return operations
