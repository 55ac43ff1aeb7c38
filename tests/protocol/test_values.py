"""Identifiers, UUIDs and times."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.values import (
    Uuid7s,
    from_datetime,
    is_identifier,
    is_unnamed_device,
    is_uuid,
    to_rfc3339,
    unnamed_device,
    uuid7,
)

TIMES = st.integers(0, 2**48 - 1)
ENTROPY = st.binary(min_size=10, max_size=10)
# From the year 1 to 9999.
INSTANTS = st.integers(-62_135_596_800_000, 253_402_300_799_999)

# --- Identifiers --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", "Z9", "ann@example.com", "a.b_c:d-e", "-", ".", "x" * 128])
def test_identifiers_may_be(text):
    assert is_identifier(text)


@pytest.mark.parametrize(
    "text",
    ["", "x" * 129, "a b", "a/b", "é", "a\n", "\na", "a\x00", "a%20", "\u0663", "\uff41", "a\r\n"],
)
def test_identifiers_may_not_be(text):
    assert not is_identifier(text)


@pytest.mark.parametrize(
    "text",
    [
        "0190B7C1-4A2E-7000-8000-000000000000",
        "0190b7c14a2e70008000000000000000",
        "{0190b7c1-4a2e-7000-8000-000000000000}",
        "0190b7c1-4a2e-7000-8000-000000000000\n",
        "",
    ],
)
def test_a_uuid_has_one_spelling(text):
    assert not is_uuid(text)


# --- UUIDs --------------------------------------------------------------------------------------


def test_the_example_of_the_rfc():
    # RFC 9562, appendix A.6: rand_a is 0xCC3, rand_b is 0x18C4DC0C0C07398F.
    entropy = bytes.fromhex("0cc3" + "18c4" + "dc0c0c07398f")
    assert uuid7(0x017F22E279B0, entropy) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(TIMES, ENTROPY)
def test_a_uuid_has_the_layout_of_the_rfc(now_ms, entropy):
    text = uuid7(now_ms, entropy)
    value = uuid.UUID(text)

    assert is_uuid(text)
    assert str(value) == text
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == now_ms


@given(ENTROPY, ENTROPY)
def test_all_the_entropy_that_has_room_is_used(one, other):
    mask = bytes.fromhex("0fff3fff" + "ff" * 6)
    differ = any((a ^ b) & m for a, b, m in zip(one, other, mask, strict=True))
    assert (uuid7(0, one) != uuid7(0, other)) == differ


@given(TIMES, TIMES, ENTROPY, ENTROPY)
def test_uuids_sort_by_time(one, other, first, second):
    if one < other:
        assert uuid7(one, first) < uuid7(other, second)


@pytest.mark.parametrize("size", [0, 9, 11])
def test_a_uuid_needs_ten_bytes_of_entropy(size):
    with pytest.raises(ValueError, match="10 bytes"):
        uuid7(0, bytes(size))


@given(st.lists(st.tuples(st.integers(0, 5), ENTROPY), max_size=60))
def test_uuids_made_one_after_the_other_sort_like_that_whatever_the_clock_does(made):
    ids = Uuid7s()
    texts = [ids.make(at, entropy) for at, entropy in made]
    assert texts == sorted(set(texts))
    assert all(uuid.UUID(text).version == 7 for text in texts)


def test_more_uuids_than_a_millisecond_has_room_for_go_on_in_the_next():
    ids = Uuid7s()
    texts = [ids.make(1000, bytes(10)) for _ in range(10_000)]
    assert texts == sorted(set(texts))
    assert uuid.UUID(texts[-1]).int >> 80 == 1002


@given(TIMES, ENTROPY)
def test_the_name_of_a_device_without_one_is_known_again(at, entropy):
    name = unnamed_device(at, entropy)
    assert is_identifier(name)
    assert is_unnamed_device(name)
    for other in (name.upper(), name[:-1], name + "0", name.removeprefix("device-"), "device-1"):
        assert not is_unnamed_device(other)


# --- Times --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_700_000_000_999, "2023-11-14T22:13:20.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_written_in_utc_with_milliseconds(at, text):
    assert to_rfc3339(at) == text


@given(INSTANTS)
def test_times_are_exact_to_the_millisecond(at):
    assert from_datetime(datetime.fromisoformat(to_rfc3339(at))) == at


@given(st.integers(0, 4_000_000_000_000), st.integers(-1439, 1439))
def test_the_offset_of_a_time_does_not_matter(at, minutes):
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    assert from_datetime(utc.astimezone(timezone(timedelta(minutes=minutes)))) == at


def test_a_time_without_an_offset_is_no_time():
    with pytest.raises(ValueError, match="offset"):
        from_datetime(datetime(2030, 1, 1))  # noqa: DTZ001


def test_times_written_sort_as_text():
    assert to_rfc3339(999) < to_rfc3339(1000) < to_rfc3339(1001)
