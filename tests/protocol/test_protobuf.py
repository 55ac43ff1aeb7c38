"""Protocol Buffers on the wire: numbers, fields, and bytes that are no message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.protobuf import (
    DOUBLE,
    TEXT,
    UINT64,
    Field,
    MalformedProtobuf,
    Message,
    read_fields,
    read_varint,
    varint,
)

POINT = Message("Point", Field(1, "x", UINT64), Field(2, "name", TEXT, is_optional=True))
LINE = Message(
    "Line",
    Field(1, "from", POINT),
    Field(2, "labels", TEXT, is_repeated=True),
    Field(3, "width", DOUBLE, is_optional=True),
    fields_max=8,
)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_a_number_is_read_as_it_was_written(number, before, behind):
    written = varint(number)
    assert read_varint(before + written + behind, len(before)) == (
        number,
        len(before) + len(written),
    )


def test_numbers_are_those_of_the_specification():
    assert varint(150) == b"\x96\x01"
    assert varint(-1) == b"\xff" * 9 + b"\x01"
    assert read_varint(b"\x96\x81\x00", 0) == (150, 3)  # longer than it needs to be


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10, b"\xff" * 9 + b"\x02"])
def test_a_number_is_whole_and_of_64_bits(data):
    with pytest.raises(MalformedProtobuf, match="cut off, or has more than 64 bits"):
        read_varint(data, 0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00\x00", "no field 0"),
        (varint(2**29 << 3) + b"\x00", "no field 536870912"),
        (b"\x0b", "wire type 3"),
        (b"\x0c", "wire type 4"),
        (b"\x0f", "wire type 7"),
        (b"\x0a\x02x", "field 1 is cut off"),
        (b"\x0a" + varint(2**63) + b"x", "field 1 is cut off"),
        (b"\x09\x00\x00\x00\x00\x00\x00\x00", "field 1 is cut off"),
        (b"\x0d\x00\x00\x00", "field 1 is cut off"),
    ],
)
def test_bytes_that_are_no_field_are_refused(data, why):
    with pytest.raises(MalformedProtobuf, match=why):
        list(read_fields(data, 9))


def test_a_message_has_so_many_fields_at_most():
    assert len(list(read_fields(b"\x0a\x00" * 8, 8))) == 8
    with pytest.raises(MalformedProtobuf, match="too many fields"):
        LINE.decode(b"\x12\x00" * 9)
    with pytest.raises(MalformedProtobuf, match="too many fields"):
        LINE.decode(b"\x7a\x00" * 9)  # unknown ones count as well


def test_unknown_fields_and_wire_types_are_passed_over():
    unknown = b"\x7a\x01x" + b"\x78\x05" + b"\x79" + bytes(8) + b"\x7d" + bytes(4)
    assert POINT.decode(unknown + b"\x08\x03" + b"\x12\x01a" + b"\x10\x09") == {
        "x": 3,
        "name": "a",
    }


def test_the_last_of_a_field_counts_and_messages_are_merged():
    assert POINT.decode(b"\x08\x03\x08\x04") == {"x": 4, "name": None}
    twice = LINE.decode(b"\x0a\x02\x08\x03" + b"\x12\x01a" + b"\x0a\x03\x12\x01b" + b"\x12\x01c")
    assert twice == {"from": {"x": 3, "name": "b"}, "labels": ["a", "c"], "width": None}


def test_a_zero_is_written_where_absence_means_something_else():
    assert POINT.encode({"x": 0, "name": ""}) == b"\x12\x00"
    assert POINT.decode(b"\x12\x00") == {"x": 0, "name": ""}
    assert POINT.decode(b"") == {"x": 0, "name": None}


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_malformed(data):
    try:
        value = LINE.decode(data)
    except MalformedProtobuf:
        return
    assert LINE.decode(LINE.encode(value))["labels"] == value["labels"]
