"""The meaning of a draft: one digest for all the ways to say the same, and for nothing else."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.notifications.meaning import fingerprint, meaning
from tocsin.protocol.notifications.notification import Draft

PLAIN = {"to": {"users": ["ann", "bob"]}, "title": "Hello"}
NOON = "2030-01-01T12:00:00Z"


def draft(fields: Any) -> Draft:
    return msgspec.json.decode(json.dumps(fields), type=Draft)


def digest(**fields: Any) -> bytes:
    return fingerprint(draft(PLAIN | fields))


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the order of users": ({"to": {"users": ["bob", "ann"]}}, {}),
    "a user named twice": ({"to": {"users": ["ann", "bob", "ann"]}}, {}),
    "null is absent": ({"body": None, "data": None, "ttl": None, "deliver_at": None}, {}),
    "no topic": ({"to": {"users": ["ann", "bob"], "topic": None, "all": None}}, {}),
    "defaults": ({"category": "default", "priority": "normal"}, {}),
    "another offset": ({"expires_at": "2030-01-01T13:00:00+01:00"}, {"expires_at": NOON}),
    "lower case": ({"deliver_at": "2030-01-01t12:00:00z"}, {"deliver_at": NOON}),
    "no fraction": ({"deliver_at": "2030-01-01T12:00:00.000Z"}, {"deliver_at": NOON}),
    "less than a millisecond": ({"deliver_at": "2030-01-01T12:00:00.0009Z"}, {"deliver_at": NOON}),
    "long ago": ({"deliver_at": "0000-01-01T00:00:00Z"}, {"deliver_at": "0001-01-01T00:00:00Z"}),
    "a whole ttl": ({"ttl": 60}, {"ttl": 60.0}),
    "a number": ({"data": {"a": [1, -0.0, 1e3]}}, {"data": {"a": [1.0, 0, 1000]}}),
    "the order of keys": (
        {"data": {"a": 1, "b": {"c": 2, "d": 3}}},
        {"data": {"b": {"d": 3, "c": 2}, "a": 1}},
    ),
}
OTHER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another user": ({"to": {"users": ["ann"]}}, {}),
    "a body": ({"body": ""}, {}),
    "another instant": ({"expires_at": "2030-01-01T12:00:00+01:00"}, {"expires_at": NOON}),
    "a millisecond later": ({"expires_at": "2030-01-01T12:00:00.001Z"}, {"expires_at": NOON}),
    "the order of a list": ({"data": [1, 2]}, {"data": [2, 1]}),
    "a text is no number": ({"data": "1"}, {"data": 1}),
    "true is no number": ({"data": True}, {"data": 1}),
    "one half": ({"data": 1.5}, {"data": 1}),
    "beyond what a double tells apart": ({"data": 2**53}, {"data": 2**53 + 1}),
    "null in data is something": ({"data": {"a": None}}, {"data": {}}),
    "another composition of a letter": ({"title": "\u00e9"}, {"title": "e\u0301"}),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_said_otherwise_means_the_same(name):
    one, other = SAME[name]
    assert digest(**one) == digest(**other)


@pytest.mark.parametrize("name", OTHER)
def test_drafts_that_are_not_the_same_have_other_digests(name):
    one, other = OTHER[name]
    assert digest(**one) != digest(**other)


def test_escapes_are_not_what_is_meant():
    escaped = b'{"title":"H\\u0065llo","to":{"users":["bob","\\u0061nn"]}}'
    assert fingerprint(msgspec.json.decode(escaped, type=Draft)) == digest()


class Earlier(msgspec.Struct, kw_only=True):
    """A draft as it was digested before there was a normal form."""

    to: Any
    title: str
    category: str = "default"
    body: str | None = None
    data: Any = None
    url: str | None = None
    priority: str = "normal"
    deliver_at: datetime | None = None
    expires_at: datetime | None = None
    ttl: float | None = None
    collapse_key: str | None = None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"deliver_at": NOON, "expires_at": "2030-01-01T12:00:00.25Z"},
        {"to": {"users": None, "topic": "news", "all": None}, "ttl": 60, "data": {"n": 1.5}},
    ],
)
def test_digests_of_an_earlier_release_hold_for_what_is_in_its_normal_form(fields):
    post = {"to": {"users": ["ann", "bob"], "topic": None, "all": None}} | fields
    earlier = msgspec.convert(PLAIN | post, Earlier)
    before = hashlib.sha256(msgspec.json.encode(earlier, order="sorted")).digest()
    assert digest(**post) == before


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def respelled(data: Any, chance: Any) -> Any:
    """*data* with its keys in another order, and some whole numbers written otherwise."""
    match data:
        case dict():
            names = chance.permutation(list(data))
            return {name: respelled(data[name], chance) for name in names}
        case list():
            return [respelled(each, chance) for each in data]
        case float() if data.is_integer() and abs(data) < 2**53 and chance.coin():
            return int(data)
        case int() if not isinstance(data, bool) and abs(data) < 2**53 and chance.coin():
            return float(data)
        case _:
            return data


class Chance:
    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def permutation(self, values: list[Any]) -> list[Any]:
        return self._data.draw(st.permutations(values))

    def coin(self) -> bool:
        return self._data.draw(st.booleans())


@given(
    st.data(),
    st.sets(st.sampled_from("abcdef"), min_size=1),
    JSON,
    st.integers(0, 4_000_000_000_000),
    st.integers(-1439, 1439),
)
def test_however_it_is_said(data, users, content, at, minutes):
    chance = Chance(data)
    here = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    there = here.astimezone(timezone(timedelta(minutes=minutes)))
    named = chance.permutation(sorted(users) * 2)
    one = {"to": {"users": sorted(users)}, "data": content, "deliver_at": here.isoformat()}
    other = {
        "deliver_at": there.isoformat(),
        "data": respelled(content, chance),
        "to": {"users": named},
    }
    assert digest(**one) == digest(**other)
    # The normal form is one: it means itself.
    assert meaning(msgspec.json.decode(meaning(draft(PLAIN | one)), type=Draft)) == meaning(
        draft(PLAIN | one)
    )
