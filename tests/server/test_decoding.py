"""The fault of a body, and its place, are told in words that may hold the client's own."""

from __future__ import annotations

from time import thread_time
from typing import Any

import msgspec
import pytest

from tocsin.protocol.notifications.notification import Patch
from tocsin.protocol.refusal import Refused
from tocsin.server.decoding import decode


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    number: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner


def wrong(document: object) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        decode(Outer, msgspec.json.encode(document))
    [error] = caught.value.problem.errors
    return error.path, error.message


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"inner": {"number": "x"}}, "$.inner.number", "Expected `int`, got `str`"),
        ({"inner": {"what": 1}}, "$.inner", "Object contains unknown field `what`"),
        ({"what": 1}, "$", "Object contains unknown field `what`"),
        ([], "$", "Expected `object`, got `array`"),
        ({"inner": {" - at `$.x`": 1}}, "$.inner", "Object contains unknown field ` - at `$.x``"),
    ],
)
def test_the_place_is_told_apart_from_what_is_wrong(document, path, message):
    assert wrong(document) == (path, message)


@pytest.mark.parametrize("piece", [" - at `$", " - at `$\x00", "`", "$.", " - at "])
def test_a_name_that_looks_like_a_place_costs_nothing(piece):
    name = piece * (65_536 // len(piece))
    start = thread_time()
    wrong({"inner": {name: 1}})
    assert thread_time() - start < 0.02


class Anything(msgspec.Struct):
    data: Any = None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b'{"data":1,"data":1}', "data"),
        (b'{"data":{"x":[{"a":":","a":1}]}}', "a"),
        (b'{"data":{"' + b"x" * 999 + b'":1,"' + b"x" * 999 + b'":1}}', "x" * 100),
    ],
)
def test_a_key_that_is_there_twice_is_wrong_at_any_depth(text, name):
    with pytest.raises(Refused) as caught:
        decode(Anything, text)
    assert caught.value.problem.code == "invalid"
    assert f"the field `{name}` more than once" in caught.value.problem.detail
    assert decode(Anything, b'{"data":{"data":"x:y"}}').data == {"data": "x:y"}


def test_a_document_nested_too_deeply_is_malformed_for_every_decoder():
    # Since 3.12 Python lets C code recurse ten times as deep.
    deep = b'{"data":' + b'{"\\u0061":' * 50_000 + b"1" + b"}" * 50_001
    with pytest.raises(Refused, match="malformed"):
        decode(Anything, deep)


def test_a_text_that_is_no_time_is_refused_in_words():
    with pytest.raises(Refused) as caught:
        decode(Patch, b'{"expires_at":"2030-01-01T00:00:00+0100"}')
    [error] = caught.value.problem.errors
    assert error.path == "$.expires_at"
    assert error.message.startswith("Expected a time as in RFC 3339, such as ")
    assert "[0-9]" not in error.message
