"""The words of a producer, the part that is kept, and the view of a client."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.notification_kit import ID, NOW, content, draft, draft_of_json, seen
from tocsin.protocol.notifications.notification import (
    DATA_BYTES_MAX,
    DATA_DEPTH_MAX,
    Content,
    Patch,
    client_view,
    content_of,
    has_passed,
    patched,
)
from tocsin.protocol.refusal import Refused
from tocsin.protocol.values import to_rfc3339

WITH_DATA = '{"to":{"users":["ann"]},"title":"x","data":DATA}'


def patch(content: Content, /, **fields: Any) -> Content:
    """The next revision, five milliseconds later."""
    return patched(content, msgspec.json.decode(json.dumps(fields), type=Patch), NOW + 5)


def nested(depth: int) -> Any:
    data: Any = 1
    for _ in range(depth):
        data = [data]
    return data


# --- The words of a producer --------------------------------------------------------------------

GOOD = {
    "title of 256 characters": {"title": "x" * 256},
    "title of 256 characters beyond the BMP": {"title": "🔔" * 256},
    "body of 4096 characters": {"body": "ü" * 4096},
    "empty body": {"body": ""},
    "no body": {"body": None},
    "category of all its characters": {"category": "a-z_0.9"},
    "longest category": {"category": "x" * 64},
    "url": {"url": "https://example.com/?q=1"},
    "shortest life": {"ttl": 0.001},
    "whole seconds": {"ttl": 60},
    "ten years": {"ttl": 315_360_000},
    "an offset": {"expires_at": "2030-01-01T00:00:00+14:00"},
    "a thousand users": {"to": {"users": [f"u{number}" for number in range(1000)]}},
    "longest user": {"to": {"users": ["x" * 128]}},
}
BAD = {
    "empty title": {"title": ""},
    "title of 257 characters": {"title": "x" * 257},
    "no title": {"title": None},
    "title is a number": {"title": 5},
    "body of 4097 characters": {"body": "x" * 4097},
    "category in capitals": {"category": "Alarm"},
    "category with a newline": {"category": "alarm\n"},
    "empty category": {"category": ""},
    "category of 65 characters": {"category": "x" * 65},
    "category is null": {"category": None},
    "empty url": {"url": ""},
    "url of 2049 characters": {"url": "x" * 2049},
    "unknown priority": {"priority": "urgent"},
    "ttl of zero": {"ttl": 0},
    "negative ttl": {"ttl": -1},
    "ttl beyond ten years": {"ttl": 315_360_001},
    "ttl as text": {"ttl": "60"},
    "ttl is true": {"ttl": True},
    "expiry without an offset": {"expires_at": "2030-01-01T00:00:00"},
    "expiry as a number": {"expires_at": 1893456000},
    "expiry is a date": {"expires_at": "2030-01-01"},
    "nobody": {"to": {"users": []}},
    "too many": {"to": {"users": ["ann"] * 1001}},
    "user with a newline": {"to": {"users": ["ann\n"]}},
    "user with a space": {"to": {"users": ["ann lee"]}},
    "empty user": {"to": {"users": [""]}},
    "user of 256 characters": {"to": {"users": ["x" * 256]}},
    "to is a list": {"to": ["ann"]},
    "unknown recipient field": {"to": {"users": ["ann"], "user": "bob"}},
    "unknown field": {"titel": "Hello"},
    "id": {"id": ID},
}


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD.keys())
def test_allowed_fields_of_a_draft(fields):
    view = seen(content(**fields))
    for name in fields.keys() - {"to", "ttl", "expires_at"}:
        assert view[name] == fields[name]


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD.keys())
def test_refused_fields_of_a_draft(fields):
    with pytest.raises((msgspec.ValidationError, Refused)):
        content(**fields)


@pytest.mark.parametrize("missing", ["to", "title"])
def test_required_fields_of_a_draft(missing):
    fields = {"to": {"users": ["ann"]}, "title": "Hello"}
    del fields[missing]
    with pytest.raises(msgspec.ValidationError, match=missing):
        draft_of_json(json.dumps(fields))


# --- The view of a client -----------------------------------------------------------------------


def test_a_client_sees_the_fields_of_the_contract_and_no_others():
    view = seen(content(body="There", data={"a": [1]}, url="/x", priority="high", category="c"))
    assert view == {
        "id": ID,
        "category": "c",
        "title": "Hello",
        "body": "There",
        "data": {"a": [1]},
        "url": "/x",
        "priority": "high",
        "topic": None,
        "revision": 1,
        "created_at": "2023-11-14T22:13:20.000Z",
        "updated_at": "2023-11-14T22:13:20.000Z",
        "expires_at": None,
        "state": "unseen",
        "seen_at": None,
        "read_at": None,
    }


def test_a_field_that_is_left_out_has_its_default():
    view = seen(content())
    assert (view["category"], view["priority"]) == ("default", "normal")
    assert view["body"] is view["data"] is view["url"] is None


def test_the_state_of_the_recipient_is_spliced_on():
    view = json.loads(client_view(content().document, "read", NOW, NOW + 1))
    assert (view["state"], view["seen_at"], view["read_at"]) == (
        "read",
        to_rfc3339(NOW),
        to_rfc3339(NOW + 1),
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)
TITLES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)


@given(title=TITLES, data=JSON)
def test_titles_and_data_arrive_as_they_were_said(title, data):
    view = seen(content(title=title, data=data))
    assert view["title"] == title
    assert view["data"] == data


@given(data=JSON, title=TITLES)
def test_a_patch_of_something_else_leaves_data_as_it_was(data, title):
    assert seen(patch(content(data=data), title=title))["data"] == data


def test_control_characters_are_escaped_on_the_wire():
    view = client_view(content(title="\x00\x1b\u2028\x7f").document, "unseen", None, None)
    assert b"\x00" not in view
    assert json.loads(view)["title"] == "\x00\x1b\u2028\x7f"


@pytest.mark.parametrize(
    "title", [r"\ud83d", r"\udd14", r"\udd14\ud83d", r"a\ud800b"], ids=lambda text: text
)
def test_half_a_surrogate_pair_is_no_text(title):
    with pytest.raises(msgspec.DecodeError):
        draft_of_json('{"to":{"users":["ann"]},"title":"TITLE"}'.replace("TITLE", title))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "+1"])
def test_numbers_that_json_does_not_have_are_refused(number):
    with pytest.raises(msgspec.DecodeError):
        draft_of_json(WITH_DATA.replace("DATA", number))


# --- Data ---------------------------------------------------------------------------------------


def test_data_may_have_32_kib_encoded():
    content(data="x" * (DATA_BYTES_MAX - 2))
    with pytest.raises(Refused, match="too large") as caught:
        content(data="x" * (DATA_BYTES_MAX - 1))
    assert caught.value.problem.errors[0].path == "$.data"


def test_the_size_of_data_is_counted_in_bytes_without_the_producers_spaces():
    content(data="ü" * (DATA_BYTES_MAX // 2 - 1))
    with pytest.raises(Refused):
        content(data="ü" * (DATA_BYTES_MAX // 2))
    spaces = " " * DATA_BYTES_MAX
    draft = draft_of_json(WITH_DATA.replace("DATA", f"[1,{spaces}2]"))
    assert seen(content_of(draft, ID, NOW))["data"] == [1, 2]


def test_data_may_be_nested_so_deep_and_no_deeper():
    assert seen(content(data=nested(DATA_DEPTH_MAX)))["data"] == nested(DATA_DEPTH_MAX)
    with pytest.raises(Refused, match="nested too deeply") as caught:
        content(data={"a": nested(DATA_DEPTH_MAX)})
    assert caught.value.problem.code == "invalid"


@pytest.mark.parametrize("depth", [DATA_DEPTH_MAX + 1, 100_000])
def test_data_that_is_deeper_is_refused_however_deep_it_is(depth):
    draft = draft_of_json(WITH_DATA.replace("DATA", "1"))
    draft = msgspec.structs.replace(draft, data=nested(depth))
    with pytest.raises(Refused, match="nested too deeply"):
        content_of(draft, ID, NOW)


def test_brackets_in_a_text_are_no_depth():
    text = "[{" * DATA_DEPTH_MAX
    assert seen(content(data=text))["data"] == text


def test_an_accepted_draft_can_be_patched_deep_in_the_stack():
    accepted = content(data=nested(DATA_DEPTH_MAX))

    def far_down(levels: int) -> Content:
        return patch(accepted, title="x") if levels == 0 else far_down(levels - 1)

    frames = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, frames = frame.f_back, frames + 1
    assert far_down(sys.getrecursionlimit() - frames - DATA_DEPTH_MAX - 60).revision == 2


def test_data_that_would_overflow_the_stack_is_refused_as_invalid():
    text = WITH_DATA.replace("DATA", "[" * 700 + "]" * 700)
    with pytest.raises(Refused, match="nested too deeply"):
        content_of(draft_of_json(text), ID, NOW)


# --- Expiry -------------------------------------------------------------------------------------


def test_a_ttl_becomes_a_time():
    made = content(ttl=1.5)
    assert made.expires_at == NOW + 1500
    assert seen(made)["expires_at"] == to_rfc3339(NOW + 1500)


def test_an_expiry_is_kept_in_utc():
    assert seen(content(expires_at="2030-01-01T02:00:00.123+02:00"))["expires_at"] == (
        "2030-01-01T00:00:00.123Z"
    )


def test_ttl_and_expires_at_contradict_each_other():
    with pytest.raises(Refused, match="not both"):
        content(ttl=1, expires_at="2030-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "time", [to_rfc3339(NOW), to_rfc3339(NOW - 1), "0001-01-01T00:00:00+05:00"]
)
def test_an_expiry_lies_in_the_future(time):
    late = content(expires_at=time)
    assert has_passed(late, None, NOW)
    assert has_passed(late, NOW + 5, NOW)
    with pytest.raises(Refused, match="passed already"):
        patch(content(), expires_at=time)


def test_an_expiry_behind_the_delivery_is_in_time():
    soon = content(expires_at=to_rfc3339(NOW + 1))
    assert not has_passed(soon, None, NOW)
    assert has_passed(soon, None, NOW + 1)
    assert not has_passed(content(), None, NOW)


@pytest.mark.parametrize("now_ms", [NOW - 60_000, NOW, NOW + 60_000])
def test_a_draft_that_contradicts_itself_does_so_at_any_time(now_ms):
    same = to_rfc3339(NOW)
    with pytest.raises(Refused, match="passed already when it is delivered"):
        content_of(draft(deliver_at=same, expires_at=same), ID, now_ms)


@pytest.mark.parametrize("early", [0, 1, 60_000])
def test_a_scheduled_notification_cannot_be_made_to_expire_before_its_time(early):
    delivery = NOW + 60_000
    too_soon = msgspec.convert({"expires_at": to_rfc3339(delivery - early)}, Patch)
    with pytest.raises(Refused, match="passed already when it is delivered"):
        patched(content(), too_soon, NOW, delivery)


def test_a_scheduled_notification_may_expire_any_time_after_its_time():
    delivery = NOW + 60_000
    later = msgspec.convert({"expires_at": to_rfc3339(delivery + 1)}, Patch)
    assert patched(content(), later, NOW, delivery).expires_at == delivery + 1
    assert patched(content(), Patch(title="New"), NOW, delivery).expires_at is None


def test_an_expiry_lies_in_a_year_that_can_be_written():
    last = "9999-12-31T23:59:59.999Z"
    assert seen(content(expires_at=last))["expires_at"] == last
    with pytest.raises(Refused, match="too far away"):
        content(expires_at="9999-12-31T23:59:59-05:00")
    with pytest.raises(Refused, match="too far away"):
        content(deliver_at=last, ttl=1)


# --- Patches ------------------------------------------------------------------------------------


def test_a_patch_changes_what_it_names_and_makes_the_next_revision():
    made = content(body="Old", url="/x", ttl=60)
    changed = patch(made, title="New")

    before, after = seen(made), seen(changed)
    assert {name for name in before if before[name] != after[name]} == {
        "title",
        "revision",
        "updated_at",
    }
    assert (after["title"], after["revision"]) == ("New", 2)
    assert after["updated_at"] == to_rfc3339(NOW + 5)
    assert (changed.revision, changed.created_at, changed.updated_at) == (2, NOW, NOW + 5)
    assert changed.expires_at == made.expires_at


@pytest.mark.parametrize("name", ["body", "data", "url", "expires_at"])
def test_null_removes_what_was_optional(name):
    made = content(body="There", data={"a": 1}, url="/x", ttl=60)
    changed = patch(made, **{name: None})
    assert seen(changed)[name] is None
    assert (changed.expires_at is None) == (name == "expires_at")


@pytest.mark.parametrize("name", ["title", "category", "priority"])
def test_null_does_not_remove_what_every_notification_has(name):
    with pytest.raises(msgspec.ValidationError):
        patch(content(), **{name: None})


@pytest.mark.parametrize("fields", [{"ttl": 5}, {"to": {"users": ["bob"]}}, {"titel": "x"}])
def test_a_patch_with_an_unknown_field_is_refused(fields):
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        patch(content(), **fields)


def test_an_empty_patch_is_refused():
    with pytest.raises(Refused, match="Nothing to change"):
        patch(content())


def test_patched_data_has_the_same_limits():
    with pytest.raises(Refused, match="too large"):
        patch(content(), data="x" * DATA_BYTES_MAX)
    with pytest.raises(Refused, match="nested too deeply"):
        patch(content(), data=nested(DATA_DEPTH_MAX + 1))


def test_a_patched_category_is_kept_beside_the_document():
    changed = patch(content(), category="alarm")
    assert changed.category == seen(changed)["category"] == "alarm"
