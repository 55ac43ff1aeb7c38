"""Cursors as text, and where a device starts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.log.cursor import (
    Cursor,
    LogState,
    ResetReason,
    Start,
    choose_start,
    parse_cursor,
)

OURS, OTHER = "k3v9", "a1b2"


@given(st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True), st.integers(0, 10**18 - 1))
def test_a_cursor_is_read_as_it_was_written(epoch, sequence):
    cursor = Cursor(epoch, sequence)
    assert parse_cursor(str(cursor), OURS) == cursor


def test_a_place_in_a_replay_from_the_start_says_what_its_client_knows_to_be_gone():
    start = Cursor(OURS, 0, horizon=3)

    assert parse_cursor(str(start.moved(2)), OURS) == Cursor(OURS, 2, horizon=3)
    assert parse_cursor(str(start.moved(3)), OURS) == Cursor(OURS, 3)


def test_zero_is_everything_and_no_position():
    everything = parse_cursor("0", OURS)
    assert everything.everything
    assert everything != parse_cursor(f"{OURS}.0", OURS)
    assert str(everything) == "0"


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "00", ".", ".1", "e.", "e.-1", "e.+1", "e.1.2", "e 1", "e.1\n", "\n0", "0\n"),
        *("é.1", "e.\u0661", "e.1e3", "e.0x1", "e_.1", "null", "\x00"),
        *("e." + "1" * 19, "x" * 33 + ".1"),
    ],
)
def test_a_text_that_no_server_wrote_is_no_cursor(text):
    with pytest.raises(ValueError, match="not a cursor"):
        parse_cursor(text, OURS)


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_a_value_error(text):
    try:
        cursor = parse_cursor(text, OURS)
    except ValueError:
        return
    assert cursor.sequence >= 0


def log(
    head: int = 9, horizon: int = 0, stored: int | None = None, unacknowledged: int | None = None
) -> LogState:
    return LogState(head, horizon, stored, unacknowledged)


def resumed(sequence: int) -> Start:
    return Start(sequence, None, resumed=True)


def fresh(sequence: int) -> Start:
    return Start(sequence, None, resumed=False)


def reset(sequence: int, reason: ResetReason) -> Start:
    return Start(sequence, reason, resumed=False)


EVERYTHING = parse_cursor("0", OURS)
STARTS = {
    "a cursor of ours": (Cursor(OURS, 5), log(), resumed(5)),
    "a cursor at the head": (Cursor(OURS, 9), log(), resumed(9)),
    "a cursor beyond the head": (Cursor(OURS, 10), log(), reset(0, ResetReason.EPOCH)),
    "a cursor of another epoch": (Cursor(OTHER, 5), log(), reset(0, ResetReason.EPOCH)),
    "another epoch, after a purge": (
        Cursor(OTHER, 5),
        log(horizon=3),
        reset(0, ResetReason.EPOCH),
    ),
    "a cursor at the horizon": (Cursor(OURS, 3), log(horizon=3), resumed(3)),
    "a cursor below the horizon": (
        Cursor(OURS, 2),
        log(horizon=3),
        reset(0, ResetReason.HORIZON),
    ),
    "a cursor goes before what is stored": (Cursor(OURS, 5), log(stored=8), resumed(5)),
    "in a replay from the start, below the horizon": (
        Cursor(OURS, 2, horizon=3),
        log(horizon=3),
        resumed(2),
    ),
    "in a replay from the start, and purged since": (
        Cursor(OURS, 2, horizon=3),
        log(horizon=4),
        reset(0, ResetReason.HORIZON),
    ),
    "everything": (EVERYTHING, log(stored=8), fresh(0)),
    "everything that is retained": (EVERYTHING, log(horizon=3), fresh(0)),
    "everything of an empty log": (EVERYTHING, log(head=0), fresh(0)),
    # A device that was welcomed to an empty log stands at <epoch>.0, like at any other place.
    "before the first entry": (Cursor(OURS, 0), log(), resumed(0)),
    "before the first entry, which is gone": (
        Cursor(OURS, 0),
        log(horizon=3),
        reset(0, ResetReason.HORIZON),
    ),
    "before the first entry of another epoch": (
        Cursor(OTHER, 0),
        log(),
        reset(0, ResetReason.EPOCH),
    ),
    "a known device": (None, log(stored=4, unacknowledged=2), resumed(4)),
    "a known device of an empty log": (None, log(head=0, stored=0), resumed(0)),
    "a known device below the horizon": (
        None,
        log(horizon=5, stored=4),
        reset(0, ResetReason.HORIZON),
    ),
    "a known device of a log that was longer": (None, log(stored=12), resumed(9)),
    "a new device": (None, log(unacknowledged=6), fresh(5)),
    "a new device, the first unacknowledged of all": (None, log(unacknowledged=1), fresh(0)),
    "a new device after a purge": (None, log(horizon=4, unacknowledged=3), fresh(2)),
    "a new device with nothing waiting": (None, log(), fresh(9)),
    "a new device of an empty log": (None, log(head=0), fresh(0)),
}


@pytest.mark.parametrize(("requested", "state", "start"), STARTS.values(), ids=STARTS.keys())
def test_where_a_device_starts(requested, state, start):
    assert choose_start(requested, OURS, state) == start


@given(
    requested=st.none()
    | st.just(EVERYTHING)
    | st.builds(Cursor, st.sampled_from([OURS, OTHER]), st.integers(0, 12)),
    head=st.integers(0, 10),
    horizon=st.integers(0, 10),
    stored=st.none() | st.integers(0, 10),
    first=st.none() | st.integers(1, 10),
)
def test_a_resumed_device_missed_no_purge_and_a_reset_one_gets_all_that_is_left(
    requested, head, horizon, stored, first
):
    horizon = min(horizon, head)
    start = choose_start(requested, OURS, LogState(head, horizon, stored, first))
    assert 0 <= start.sequence <= max(head, (first or 1) - 1)
    if start.resumed:
        assert start.sequence >= horizon
        assert start.reset is None
    if start.reset is not None:
        assert start.sequence == 0


@pytest.mark.parametrize(
    ("stored", "horizon", "expected"),
    [
        (4, 0, Start(4, None, resumed=True)),
        (4, 5, Start(0, ResetReason.HORIZON, resumed=False)),
        (7, 0, Start(7, None, resumed=True)),
        (9, 0, Start(7, None, resumed=True)),
        # The server has forgotten the device, which has not forgotten where it was.
        (None, 0, Start(7, None, resumed=True)),
        (None, 8, Start(0, ResetReason.HORIZON, resumed=False)),
    ],
)
def test_a_cursor_that_does_not_acknowledge_moves_no_known_device_forward(
    stored, horizon, expected
):
    requested = Cursor(OURS, 7, acknowledges=False)
    assert choose_start(requested, OURS, LogState(10, horizon, stored, None)) == expected


def test_a_cursor_of_another_log_starts_anew_whether_it_acknowledges_or_not():
    requested = Cursor(OTHER, 7, acknowledges=False)
    started = choose_start(requested, OURS, LogState(10, 0, 4, None))
    assert started == Start(0, ResetReason.EPOCH, resumed=False)
