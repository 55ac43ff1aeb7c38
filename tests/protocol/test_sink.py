"""A sink's progress: what moves it, when it tries again, and what becomes a letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed
from tocsin.protocol.receipts.sink import (
    DISABLED,
    BatchRefused,
    BatchTaken,
    Pending,
    Progress,
    ReceiverGone,
    ReceiverTrouble,
    answered,
    batch_limit,
    formed,
    judge,
    next_scan,
)

NOW = 1_700_000_000_000
DAYS = 5 * 86400.0


def answer(progress, verdict, now=NOW, chance=0.5, disable_after=DAYS):
    return answered(progress, verdict, now, chance, disable_after)


def carrying(*positions, position=0, **fields):
    return Progress(position, Pending(positions, **fields))


# --- Answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((each, BatchTaken()) for each in (200, 201, 202, 204, 299)),
        *(
            (each, ReceiverTrouble(f"status_{each}"))
            for each in (301, 307, 408, 425, 429, 500, 503, 599)
        ),
        *((each, BatchRefused(f"status_{each}")) for each in (400, 401, 404, 413, 418, 422)),
        (410, ReceiverGone()),
    ],
)
def test_the_status_of_an_answer_gives_the_verdict(status, verdict):
    assert judge(OutboundAnswer(status), NOW) == verdict


def test_no_answer_is_trouble():
    assert judge(OutboundFailed("timeout", "too late"), NOW) == ReceiverTrouble("timeout")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("120", 120.0), ("0", 0.0), ("99999999999", 3600.0), ("", 0.0), ("soon", 0.0)),
        *(("-5", 0.0), ("٣", 0.0), ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0)),
        ("Mon, 01 Jan 1990 00:00:00 GMT", 0.0),
    ],
)
def test_a_receiver_says_when_to_come_again(text, seconds):
    answer = OutboundAnswer(503, {"retry-after": text})
    assert judge(answer, NOW) == ReceiverTrouble("status_503", seconds)


# --- The batch ----------------------------------------------------------------------------------


def test_a_batch_is_formed_behind_the_position_and_moves_it_when_it_was_taken():
    progress = formed(Progress(4), (5, 7), 7, horizon=0, now_ms=NOW)
    assert progress == carrying(5, 7, position=4)
    assert answer(progress, BatchTaken()) == (Progress(7, succeeded_at=NOW), ())


def test_receipts_that_the_filter_leaves_out_move_the_position_without_a_batch():
    assert formed(Progress(4), (), 9, horizon=0, now_ms=NOW) == Progress(9)


def test_purged_receipts_are_counted_and_told_with_the_next_batch():
    progress = formed(Progress(4), (12,), 12, horizon=10, now_ms=NOW)
    assert progress == Progress(10, Pending((12,), gap=(5, 10)), lost=6)
    empty = formed(Progress(4), (), 10, horizon=10, now_ms=NOW)
    assert empty == Progress(10, Pending(gap=(5, 10)), lost=6)
    later = formed(empty, (15,), 15, horizon=12, now_ms=NOW)
    assert later == Progress(12, Pending((15,), gap=(5, 12)), lost=8)


# --- A receiver in trouble ----------------------------------------------------------------------


def test_trouble_tries_the_same_batch_again_further_apart_each_time():
    progress, delays = carrying(1, 2), []
    for _ in range(6):
        progress, letters = answer(progress, ReceiverTrouble("status_500"))
        assert progress.pending is not None
        assert (progress.position, progress.pending.positions, letters) == (0, (1, 2), ())
        delays.append((progress.pending.next_at - NOW) / 1000)
    assert delays == [5, 30, 120, 300, 300, 300]
    assert (progress.failing_since, progress.reason) == (NOW, "status_500")


@given(st.floats(0, 1, exclude_max=True))
def test_a_delay_is_spread_by_a_fifth(chance):
    progress, _ = answer(carrying(1), ReceiverTrouble("timeout"), chance=chance)
    assert progress.pending is not None
    assert 4000 <= progress.pending.next_at - NOW <= 6000


def test_a_receiver_that_asks_for_more_time_gets_it():
    progress, _ = answer(carrying(1), ReceiverTrouble("status_503", 60.0))
    assert progress.pending is not None
    assert progress.pending.next_at == NOW + 60_000


def test_after_days_of_nothing_but_failures_a_sink_is_disabled_and_keeps_its_place():
    progress, _ = answer(carrying(1, 2), ReceiverTrouble("timeout"))
    almost, _ = answer(progress, ReceiverTrouble("timeout"), NOW + round(DAYS * 1000) - 1)
    assert almost.state == "active"
    disabled, _ = answer(almost, BatchRefused("status_400"), NOW + round(DAYS * 1000))
    assert (disabled.state, disabled.reason) == (DISABLED, "failing: status_400")
    assert disabled.position == 0


def test_a_success_in_between_counts_the_days_anew():
    progress, _ = answer(carrying(1, 2), ReceiverTrouble("timeout"))
    progress, _ = answer(progress, BatchTaken(), NOW + 5)
    assert progress == Progress(2, succeeded_at=NOW + 5)


def test_a_receiver_that_is_gone_is_disabled_at_once():
    progress, letters = answer(carrying(1, 2, position=0), ReceiverGone())
    assert (progress, letters) == (Progress(0, state=DISABLED, reason="gone"), ())


# --- A batch that is refused --------------------------------------------------------------------


class Script:
    """A log of *count* receipts, and a receiver that refuses those in *poison*."""

    def __init__(self, count: int, poison: set[int], batch_max: int = 10) -> None:
        self.log = range(1, count + 1)
        self.poison = poison
        self.batch_max = batch_max
        self.progress = Progress(0)
        self.taken: list[int] = []
        self.letters: list[int] = []
        self.now = NOW
        self.requests = 0

    def run(self, requests_max: int = 500) -> None:
        while self.progress.position < self.log[-1] and self.requests < requests_max:
            pending = self.progress.pending
            if pending is None or not pending.positions:
                self.form()
            else:
                self.carry(pending)

    def form(self) -> None:
        after, limit = next_scan(self.progress), batch_limit(self.progress, self.batch_max)
        positions = [each for each in self.log if each > after][:limit]
        through = positions[-1] if positions else self.log[-1]
        self.progress = formed(self.progress, positions, through, 0, self.now)

    def carry(self, pending: Pending) -> None:
        self.requests += 1
        self.now = max(self.now, pending.next_at)
        refused = self.poison & set(pending.positions)
        if not refused:
            self.taken += pending.positions
        verdict = BatchRefused("status_422") if refused else BatchTaken()
        self.progress, dead = answer(self.progress, verdict, self.now, disable_after=1e9)
        self.letters += dead


def test_a_batch_that_is_refused_is_tried_for_half_an_hour_and_then_one_by_one():
    script = Script(20, {7})
    script.run()
    assert script.letters == [7]
    assert script.taken == [each for each in script.log if each != 7]
    assert 34 * 60 < (script.now - NOW) / 1000 < 37 * 60


def test_several_poison_receipts_become_letters_each():
    script = Script(40, {2, 3, 17, 39})
    script.run()
    assert script.letters == [2, 3, 17, 39]
    assert sorted([*script.taken, *script.letters]) == list(script.log)


def test_three_refused_in_a_row_are_the_receivers_fault():
    script = Script(40, {5, 6, 7})
    script.run(requests_max=60)
    assert script.letters == []
    assert script.progress.position == 4
    script.poison = {6}
    script.run()
    assert script.letters == [6]
    assert sorted([*script.taken, *script.letters]) == list(script.log)


def test_the_last_receipt_is_no_letter_while_nothing_is_behind_it():
    script = Script(5, {5})
    script.run(requests_max=40)
    assert (script.letters, script.progress.position) == ([], 4)
    script.log = range(1, 7)
    script.run()
    assert (script.letters, script.taken) == ([5], [1, 2, 3, 4, 6])


@given(st.integers(1, 60), st.sets(st.integers(1, 60), max_size=6), st.integers(1, 12))
def test_nothing_is_lost_and_nothing_is_carried_out_of_order(count, poison, batch_max):
    script = Script(count, poison, batch_max)
    script.run()
    done = sorted({*script.taken, *script.letters})
    assert done == list(script.log[: len(done)])
    assert script.taken == sorted(script.taken)
    assert set(script.letters) <= poison
