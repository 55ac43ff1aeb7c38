"""A key that is there twice is found wherever it is, however it is written, and quickly."""

from __future__ import annotations

import json
from time import thread_time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.repeated_keys import repeated_key

TWICE = {
    "at the top": '{"a":1,"a":1}',
    "another value": '{"a":1,"b":2,"a":3}',
    "null": '{"a":null,"a":null}',
    "further down": '{"x":{"y":[{"z":{"a":1,"a":2}}]}}',
    "in a list": '[1,{"a":1,"a":2}]',
    "with white space": '{"a" : 1 ,\n"a"\t:\r\n2}',
    "escaped": '{"a":1,"\\u0061":2}',
    "a colon that is escaped makes up for it": '{"a":1,"a":"\\u003a"}',
    "two of them": '{"a":1,"a":"\\u003A","b":{"c":":","c":"\\u003a"}}',
    "quotes and colons": '{"a":"\\":","a":"\\":"}',
    "an empty key": '{"":1,"":2}',
    "beside a number that is too long": '{"a":' + "9" * 5000 + ',"a":1}',
}
ONCE = {
    "nothing": "{}",
    "no object": '["a","a"]',
    "in two objects": '[{"a":1},{"a":1}]',
    "in an inner one": '{"a":{"a":1}}',
    "in a string": '{"a":"{\\"b\\":1,\\"b\\":2}"}',
    "colons": '{"url":"https://[::1]:80/","at":"2030-01-01T00:00:00Z"}',
    "escaped colons": '{"a":"\\u003a","b":":"}',
    "other case": '{"a":1,"A":2}',
    "another composition of a letter": '{"\u00e9":1,"e\u0301":2}',
    "a number that is too long": '{"a":' + "9" * 5000 + ',"b":1}',
}


@pytest.mark.parametrize("name", TWICE)
def test_a_key_that_is_there_twice_is_found(name):
    assert repeated_key(TWICE[name].encode()) in ("a", "c", "")


@pytest.mark.parametrize("name", ONCE)
def test_nothing_else_is(name):
    assert repeated_key(ONCE[name].encode()) is None


VALUE = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(alphabet='a:"\\ u003', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        # An object as its members, so that a key may come twice.
        | st.lists(st.tuples(st.text(alphabet='ab:"', max_size=2), inner), max_size=3).map(tuple)
    ),
    max_leaves=8,
)


def written(value: Any, *, escaped: bool) -> str:
    match value:
        case tuple():
            members = (
                f"{written(key, escaped=escaped)} : {written(each, escaped=escaped)}"
                for key, each in value
            )
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(written(each, escaped=escaped) for each in value) + "]"
        case str() if escaped:
            return '"' + "".join(f"\\u{ord(each):04x}" for each in value) + '"'
        case _:
            return json.dumps(value)


def has_one_twice(value: Any) -> bool:
    match value:
        case tuple():
            keys = [key for key, _ in value]
            return len(set(keys)) < len(keys) or any(has_one_twice(each) for _, each in value)
        case list():
            return any(map(has_one_twice, value))
        case _:
            return False


@given(VALUE, st.booleans())
def test_it_is_found_exactly_where_there_is_one(value, escaped):
    text = written(value, escaped=escaped).encode()
    msgspec.json.decode(text)
    assert (repeated_key(text) is not None) == has_one_twice(value)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b",".join(b'{"a":1}' for _ in range(8000)) + b"]",
        b"{" + b",".join(b'"%d":"\\u003a"' % each for each in range(4000)) + b"}",
        b'{"a":' + b"9" * 64_000 + b',"b":0}',
        b'{"a":[' * 150 + b"1" + b"]}" * 150,
        b'{"a":"' + b"\\u003a" * 10_000 + b'"}',
    ],
)
def test_it_costs_no_more_than_the_text_is_long(text):
    times = []
    # The first may pay for a collection of garbage that others have left.
    for _ in range(3):
        start = thread_time()
        assert repeated_key(text) is None
        times.append(thread_time() - start)
    assert min(times) < 0.05
