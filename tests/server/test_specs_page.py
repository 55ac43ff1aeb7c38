"""The page: it holds everything, asks for nothing, and every link on it leads somewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
import pytest

from tocsin.protocol.closing import Closing
from tocsin.server.api import OPERATIONS
from tocsin.server.api.specs.asyncapi import asyncapi_document
from tocsin.server.api.specs.openapi import openapi_document
from tocsin.server.api.specs.page import CONTENT_SECURITY_POLICY, render_page
from tocsin.server.api.specs.tables import inline, pretty, type_text

OPENAPI = openapi_document(OPERATIONS)
ASYNCAPI = asyncapi_document()
PAGE = render_page(OPENAPI, ASYNCAPI).decode()
EMPTY = {"meta", "br"}


class Reader(HTMLParser):
    """Takes a page apart, and notes what is not closed as it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {name: value or "" for name, value in attrs}
        self.attributes |= given.keys()
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def read() -> Reader:
    reader = Reader()
    reader.feed(PAGE)
    reader.close()
    return reader


def test_it_is_closed_as_it_was_opened(read: Reader):
    assert read.open == []


def test_every_operation_frame_and_type_is_on_it_once(read: Reader):
    expected = {operation.name for operation in OPERATIONS}
    expected |= {f"frame-{name}" for name in ASYNCAPI["components"]["messages"]}
    for document in (OPENAPI, ASYNCAPI):
        expected |= {f"type-{name}" for name in document["components"]["schemas"]}
    assert expected <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))


def test_every_close_code_is_on_it():
    for closing in Closing:
        assert f"<code>{int(closing)}</code>" in PAGE


def test_every_link_leads_somewhere(read: Reader):
    served = {operation.path for operation in OPERATIONS}
    assert {link for link in read.links if not link.startswith("#")} <= served
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)


def test_it_asks_for_nothing_else(read: Reader):
    assert not read.tags & {"script", "link", "img", "iframe", "form", "object", "base"}
    assert not {each for each in read.attributes if each.startswith("on")} | (
        read.attributes & {"src", "style"}
    )
    assert "url(" not in PAGE
    assert "@import" not in PAGE


def test_its_policy_allows_its_own_style_and_nothing_else():
    [style] = re.findall(r"<style>(.*?)</style>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_text_is_never_markup():
    assert inline("a <b> & `<c>` *d* 2*3*4") == (
        "a &lt;b&gt; &amp; <code>&lt;c&gt;</code> <em>d</em> 2*3*4"
    )


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": ["string", "null"], "maxLength": 3}, "string or null of 0 to 3 characters"),
        ({"type": "integer", "minimum": 1, "maximum": 200}, "integer ≥ 1 ≤ 200"),
        ({"type": "array", "items": {"$ref": "#/x/Y"}}, 'list of <a href="#type-Y">Y</a>'),
        ({"enum": [True]}, "<code>true</code>"),
        ({"type": "string", "enum": ["a", "b"]}, "<code>a</code> · <code>b</code>"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "map to boolean"),
        ({}, "anything"),
    ],
)
def test_types_are_told_in_words(schema, text):
    assert type_text(schema) == text


def test_json_that_fits_on_a_line_stands_on_one():
    value = {"short": {"a": [1, 2]}, "long": ["x" * 40, "y" * 40], "empty": {}}
    assert pretty(value).splitlines()[:3] == ["{", '  "short": {"a": [1, 2]},', '  "long": [']
    assert msgspec.json.decode(pretty(value)) == value
