"""The OpenAPI document: whole, valid, and with examples that are what they show."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis

from tocsin.protocol.problems import PROBLEMS
from tocsin.server.api.all_operations import OPERATIONS
from tocsin.server.api.operation import Operation
from tocsin.server.api.specs.examples import EXAMPLES
from tocsin.server.api.specs.openapi import openapi_document, problem_codes
from tocsin.server.auth.errors import AuthCode

DOCUMENT = json.loads(msgspec.json.encode(openapi_document(OPERATIONS)))
NAMES = [operation.name for operation in OPERATIONS]
BODIES = {
    type_: type_
    for operation in OPERATIONS
    for type_ in (operation.body, *operation.streamed.values())
    if isinstance(type_, type)
}


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """For *schema*, which points into the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def media(node: Any) -> list[dict[str, Any]]:
    """All media types in *node*."""
    if isinstance(node, list):
        return [found for each in node for found in media(each)]
    if not isinstance(node, dict):
        return []
    own = list(node["content"].values()) if isinstance(node.get("content"), dict) else []
    inside = (each for name, each in node.items() if name not in {"example", "schema"})
    return own + [found for each in inside for found in media(each)]


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def test_it_is_what_the_specification_calls_openapi_3_1():
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_another_document_is_not():
    """The check that the test above relies on does see what is wrong."""
    broken = {**DOCUMENT, "paths": {"/livez": {"get": {"responses": []}}}}
    with pytest.raises(jsonschema_rs.ValidationError):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_route_is_in_it_and_nothing_else():
    rules = {(each.path, each.method.lower()) for each in OPERATIONS}
    assert rules == {
        (path, method) for path, methods in DOCUMENT["paths"].items() for method in methods
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_examples_are_what_they_show(operation: Operation):
    found = media(described(operation))
    assert found
    for each in found:
        is_page = operation.produces.startswith(("text/html", "text/javascript", "image/"))
        if each["schema"] != {"type": "object"} and not is_page:
            assert "example" in each
        if "example" in each:
            validator(each["schema"]).validate(each["example"])


@pytest.mark.parametrize("type_", BODIES, ids=lambda type_: type_.__name__)
def test_the_server_reads_the_examples_of_bodies(type_):
    msgspec.convert(EXAMPLES[type_], type_)


def test_no_example_is_of_something_that_is_not_there():
    names = DOCUMENT["components"]["schemas"]
    assert {type_.__name__ for type_ in EXAMPLES} <= names.keys()


def test_every_pointer_points_at_something():
    pointers = re.findall(r'"\$ref": "#/components/(\w+)/([\w-]+)"', json.dumps(DOCUMENT))
    assert pointers
    for kind, name in pointers:
        assert name in DOCUMENT["components"][kind]


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_parameters_are_those_of_the_operation(operation: Operation):
    parameters = {(each["in"], each["name"]) for each in described(operation)["parameters"]}
    expected = {("path", name) for name in re.findall(r"{(\w+)}", operation.path)}
    expected |= {("query", name) for name in operation.query.__struct_encode_fields__}
    expected |= {("header", header.name) for header in operation.headers}
    if operation.ticket:
        expected.remove(("query", "ticket"))
        assert {"ticket": []} in described(operation)["security"]
    assert parameters == expected


def test_every_problem_has_a_place():
    """A code that no operation can answer is one that nobody says, or one that was forgotten."""
    codes = {
        code
        for operation in OPERATIONS
        for words in problem_codes(operation).values()
        for code in words
    }
    of_http_itself = {
        "method_not_allowed",
        "expectation_failed",
        "upgrade_required",
        "request_header_fields_too_large",
        "not_implemented",
        "http_version_not_supported",
    }
    of_frames = {"rate_limited"}
    of_letters = {"too_old"}
    elsewhere = of_http_itself | of_frames | of_letters
    assert codes == (PROBLEMS.keys() | set(AuthCode)) - elsewhere


def test_patterns_are_those_of_every_language():
    said = json.dumps(DOCUMENT)
    assert "(?!" not in said
    # Past U+FFFF, and for the halves of what is there, languages differ.
    assert r"\\U000" not in said
    assert r"\\ud8" not in said


@pytest.mark.parametrize(
    ("type_", "value", "valid"),
    [
        ("Draft", {"to": {"users": ["ada"]}, "title": "x", "body": None}, True),
        ("Draft", {"to": {"users": ["ada"]}, "title": "x", "priority": "urgent"}, False),
        ("Draft", {"to": {"users": ["a b"]}, "title": "x"}, False),
        (
            "Draft",
            {"to": {"users": ["auth0|5f", "a/b", "Ädä", "😀"]}, "title": "x"},
            True,
        ),
        ("Draft", {"to": {"users": ["a\u200db"]}, "title": "x"}, False),
        ("Draft", {"to": {"users": ["x" * 256]}, "title": "x"}, False),
        ("Draft", {"to": {"users": ["ada"]}, "title": "x", "titel": "x"}, False),
        ("Draft", {"to": {"users": ["ada"]}, "title": "x", "deliver_at": "tomorrow"}, False),
        ("Patch", {"url": None}, True),
        ("Patch", {"title": None}, False),
    ],
)
def test_schemas_say_what_the_types_say(type_, value, valid):
    assert validator({"$ref": f"#/components/schemas/{type_}"}).is_valid(value) is valid
    [type_] = [each for each in BODIES if each.__name__ == type_]
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError:
        assert not valid
    else:
        assert valid
