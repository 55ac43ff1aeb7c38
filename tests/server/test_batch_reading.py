"""Reading batches: item by item, as they arrive, within bounds."""

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.refusal import Refused
from tocsin.server.producing.batch import ITEMS_MAX, BatchItem, Item, Lines, read_array, read_lines

ITEM_BYTES_MAX = 1000
DRAFT = {"to": {"users": ["ada"]}, "title": "Hello"}
LINE = json.dumps(DRAFT).encode()


async def in_pieces(body: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def codes(items: list[Item]) -> list[str]:
    return [each.problem.code if isinstance(each, Refused) else each.title for each in items]


async def array(body: bytes) -> list[Item]:
    return await read_array(in_pieces(body, 1000), ITEM_BYTES_MAX)


async def lines(body: bytes, size: int = 7) -> list[Item]:
    return await read_lines(in_pieces(body, size), ITEM_BYTES_MAX)


def array_of(*items: bytes) -> bytes:
    return b"[" + b",".join(items) + b"]"


async def refusal(reading) -> str:
    with pytest.raises(Refused) as caught:
        await reading
    return caught.value.problem.code


BAD = [b"{}", b"1", b'{"to":{"users":["ada"]},"title":""}', b'{"to":{},"titel":"x"}', b"null"]


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_item_touches_no_other(bad):
    assert codes(await array(array_of(LINE, bad, LINE))) == ["Hello", "invalid", "Hello"]
    assert codes(await lines(b"\n".join([LINE, bad, LINE]))) == ["Hello", "invalid", "Hello"]


async def test_an_item_may_carry_its_key():
    keyed = json.dumps({**DRAFT, "idempotency_key": "k"}).encode()
    [item] = await lines(keyed)
    assert isinstance(item, BatchItem)
    assert item.idempotency_key == "k"


async def test_where_an_item_is_wrong_is_said():
    [item] = await lines(b'{"to":{"users":["ada",7]},"title":"x"}')
    assert isinstance(item, Refused)
    assert [error.path for error in item.problem.errors] == ["$.to.users[1]"]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_lines_are_read_however_they_are_cut(size):
    body = LINE + b"\r\n\n  \n" + LINE + b"\n" + LINE
    assert codes(await lines(body, size)) == ["Hello"] * 3


async def test_a_line_that_is_cut_or_broken_is_that_items_problem():
    body = b"\n".join([LINE, b"{not json", LINE, LINE[:-5]])
    assert codes(await lines(body)) == ["Hello", "malformed", "Hello", "malformed"]


async def test_an_item_that_is_too_long_is_its_own_problem():
    long = json.dumps({**DRAFT, "body": "x" * ITEM_BYTES_MAX}).encode()
    assert codes(await array(array_of(LINE, long, LINE))) == ["Hello", "too_large", "Hello"]
    assert codes(await lines(b"\n".join([LINE, long, LINE]))) == ["Hello", "too_large", "Hello"]


async def test_a_batch_is_full_at_a_thousand():
    assert len(await array(array_of(*[LINE] * ITEMS_MAX))) == ITEMS_MAX
    assert len(await lines(b"\n".join([LINE] * ITEMS_MAX) + b"\n\n", 5000)) == ITEMS_MAX
    assert await refusal(array(array_of(*[LINE] * (ITEMS_MAX + 1)))) == "too_large"
    assert await refusal(lines(b"\n".join([LINE] * (ITEMS_MAX + 1)), 5000)) == "too_large"


@pytest.mark.parametrize("nothing", [b"[]", b" [ ] "])
async def test_an_empty_array_is_refused(nothing):
    assert await refusal(array(nothing)) == "invalid"


@pytest.mark.parametrize("nothing", [b"", b"\n", b"\n \r\n\t\n"])
async def test_no_lines_are_refused(nothing):
    assert await refusal(lines(nothing)) == "invalid"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed"),
        (b"[" + LINE, "malformed"),
        (b"[" + LINE + b",]", "malformed"),
        (LINE, "invalid"),
        (b"1", "invalid"),
        (b"[" * 100_000, "malformed"),
    ],
)
async def test_a_body_that_is_no_array_is_refused_whole(body, code):
    assert await refusal(array(body)) == code


@given(
    st.lists(st.binary(max_size=12) | st.text(" \t\rx", max_size=5).map(str.encode)),
    st.integers(1, 9),
)
def test_lines_come_out_as_they_went_in(pieces, size):
    body = b"\n".join(pieces)
    cutter = Lines(1000)
    found = [
        line
        for start in range(0, len(body), size)
        for line in cutter.feed(body[start : start + size])
    ]
    found += cutter.end()
    stripped = (line.lstrip(b" \t\r") for line in body.split(b"\n"))
    assert found == [line for line in stripped if line]


def test_blanks_in_front_do_not_hide_a_line():
    cutter = Lines(10)
    assert not list(cutter.feed(b" " * 100))
    assert list(cutter.feed(b"x\n" + b"\n" * 1_000_000 + b"y\n")) == [b"x", b"y"]


def test_of_a_line_without_end_only_so_much_is_kept():
    cutter = Lines(10)
    for _ in range(1000):
        assert not list(cutter.feed(b"x" * 100))
    assert list(cutter.end()) == [b"x" * 11]
