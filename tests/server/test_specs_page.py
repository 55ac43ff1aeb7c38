"""The page: it holds everything, asks for nothing, and every link on it leads somewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
import pytest

from tocsin.protocol.closing import Closing
from tocsin.protocol.problems import CREDENTIAL_PROBLEMS, PROBLEMS, problem
from tocsin.server.api.all_operations import OPERATIONS
from tocsin.server.api.specs.asyncapi import asyncapi_document
from tocsin.server.api.specs.home import home_page
from tocsin.server.api.specs.openapi import openapi_document
from tocsin.server.api.specs.page import docs_page
from tocsin.server.api.specs.parts import HtmlPage
from tocsin.server.api.specs.tables import inline, pretty, type_text
from tocsin.server.api.specs.words import FIELDS, FIELDS_OF, PATHS
from tocsin.server.auth.errors import AuthCode

OPENAPI = openapi_document(OPERATIONS)
ASYNCAPI = asyncapi_document()
DOCS = docs_page(OPENAPI, ASYNCAPI)
PAGE = DOCS.html.decode()
PATHS_SERVED = {operation.path for operation in OPERATIONS}
HOME = home_page(PATHS_SERVED)
BOTH = pytest.mark.parametrize("page", [DOCS, HOME], ids=["docs", "home"])
EMPTY = {"meta", "br", "input"}


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


def read_page(page: HtmlPage) -> Reader:
    reader = Reader()
    # The text of a script or style is no markup.
    reader.feed(
        re.sub(r"<(script|style)>.*?</\1>", r"<\1></\1>", page.html.decode(), flags=re.DOTALL)
    )
    reader.close()
    return reader


@pytest.fixture(scope="module")
def read() -> Reader:
    return read_page(DOCS)


@BOTH
def test_it_is_closed_as_it_was_opened(page: HtmlPage):
    assert read_page(page).open == []


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


@BOTH
def test_every_link_leads_somewhere(page: HtmlPage):
    read = read_page(page)
    assert {link for link in read.links if not link.startswith("#")} <= PATHS_SERVED
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)


def test_the_specs_open_from_both():
    for page in (DOCS, HOME):
        assert {"/openapi.json", "/asyncapi.json"} <= set(read_page(page).links)


def test_the_way_to_the_console_is_shown_where_there_is_one():
    assert "/console" not in read_page(home_page(PATHS_SERVED - {"/console"})).links
    assert "/console" in read_page(home_page({*PATHS_SERVED, "/console"})).links


@BOTH
def test_it_asks_for_nothing_from_elsewhere(page: HtmlPage):
    read, text = read_page(page), page.html.decode()
    assert not read.tags & {"link", "img", "iframe", "object", "base"}
    assert not {each for each in read.attributes if each.startswith("on")} | (
        read.attributes & {"src", "style", "action"}
    )
    assert "url(" not in text
    assert "@import" not in text


@BOTH
def test_its_policy_allows_its_own_style_and_script_and_nothing_else(page: HtmlPage):
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        [code] = re.findall(rf"<{tag}>(.*?)</{tag}>", page.html.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"; {directive} 'sha256-{digest}';" in page.policy
    assert page.policy.startswith("default-src 'none';")
    assert "unsafe" not in page.policy
    assert "http" not in page.policy


def test_nothing_in_an_example_is_a_variable_of_the_readers_shell():
    examples = re.findall(r"<pre><code>(curl .*?)</code></pre>", PAGE, re.DOTALL)
    assert len(examples) == len(OPERATIONS)
    for example in examples:
        assert set(re.findall(r"\$(\w+)", example)) <= {"TOKEN"}
        assert example.count("&#x27;") % 2 == 0, "an apostrophe would end what the shell reads"
        assert '<span class="origin">' in example


def test_every_call_that_can_be_tried_has_a_form_with_all_that_it_takes():
    forms = re.findall(r'<form data-method="(\w+)" data-path="([^"]+)".*?</form>', PAGE, re.DOTALL)
    untried = {
        "show_console",
        "show_home",
        "show_docs",
        "show_icon",
        "show_unsubscribe",
        "unsubscribe_by_link",
    }
    expected = {(each.method, each.path) for each in OPERATIONS if each.name not in untried}
    assert set(forms) == expected
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            if operation["operationId"] in untried:
                continue
            start = PAGE.index(f'<form data-method="{method.upper()}" data-path="{path}"')
            form = PAGE[start : PAGE.index("</form>", start)]
            for parameter in operation["parameters"]:
                if parameter["name"] != "Origin":  # the browser's own word
                    assert f'data-name="{parameter["name"]}"' in form


def test_every_code_is_explained_once(read: Reader):
    assert CREDENTIAL_PROBLEMS.keys() == set(AuthCode)
    for code in (*PROBLEMS, *CREDENTIAL_PROBLEMS):
        assert read.ids.count(f"error-{code}") == 1


@pytest.mark.parametrize("code", [*PROBLEMS, *CREDENTIAL_PROBLEMS])
def test_the_type_of_a_problem_is_its_line_on_this_page(read: Reader, code: str):
    path, _, anchor = problem(code, "").type.partition("#")
    assert path in {each.path for each in OPERATIONS}
    assert anchor in read.ids


def test_calls_name_only_the_codes_that_are_their_own():
    start = PAGE.index('id="publish"')
    call = PAGE[start : PAGE.index("</section>", start)]
    assert 'href="#error-idempotency_key_reused"' in call
    for common in ("unauthenticated", "token_expired", "invalid", "internal_error"):
        assert f"<code>{common}</code>" not in call


def test_every_field_and_parameter_has_words():
    bare = [
        f"{name}.{field}"
        for document in (OPENAPI, ASYNCAPI)
        for name, schema in document["components"]["schemas"].items()
        for field, described in schema.get("properties", {}).items()
        if not described.get("description")
    ]
    bare += [
        f"{operation['operationId']}({parameter['name']})"
        for methods in OPENAPI["paths"].values()
        for operation in methods.values()
        for parameter in operation["parameters"]
        if not parameter.get("description")
    ]
    assert bare == []


def test_no_words_are_of_what_is_not_there():
    schemas = {**OPENAPI["components"]["schemas"], **ASYNCAPI["components"]["schemas"]}
    queries = {
        operation.query.__name__: set(operation.query.__struct_encode_fields__)
        for operation in OPERATIONS
    }
    fields = {name: set(schema.get("properties", {})) for name, schema in schemas.items()} | queries
    assert {field for _, field in FIELDS_OF} <= {
        each for names in fields.values() for each in names
    }
    assert [pair for pair in FIELDS_OF if pair[1] not in fields.get(pair[0], ())] == []
    assert FIELDS.keys() <= {each for names in fields.values() for each in names}
    assert PATHS.keys() == set(re.findall(r"{(\w+)}", " ".join(OPENAPI["paths"])))


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
