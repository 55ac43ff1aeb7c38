"""The acknowledgments that are still to come: counted, for a while and up to a number."""

from __future__ import annotations

from tocsin.actors.publishing.awaited import LIVE_MAX, PATIENCE, Awaited


def test_a_notification_is_counted_until_the_last_acknowledgment():
    awaited = Awaited()
    awaited.expect("n1", 2, 0.0)
    awaited.acknowledged("n1")
    assert awaited.counts() == {"n1": 1}
    awaited.acknowledged("n1")
    awaited.acknowledged("n1")
    assert awaited.counts() == {}


def test_one_that_takes_too_long_is_given_up():
    awaited = Awaited()
    awaited.expect("old", 1, 0.0)
    awaited.expect("new", 1, 1.0)
    awaited.give_up(PATIENCE)
    assert awaited.counts() == {"new": 1}
    awaited.expect("newer", 1, PATIENCE + 1)
    assert awaited.counts() == {"newer": 1}


def test_a_change_adds_to_what_is_expected_and_begins_its_time_anew():
    awaited = Awaited()
    awaited.expect("n1", 1, 0.0)
    awaited.expect("n2", 1, 0.0)
    awaited.expect("n1", 2, 1.0)
    awaited.give_up(PATIENCE)
    assert awaited.counts() == {"n1": 3}


def test_beyond_a_number_no_more_are_counted():
    awaited = Awaited()
    for number in range(LIVE_MAX + 1):
        awaited.expect(f"n{number}", 1, 0.0)
    assert len(awaited.counts()) == LIVE_MAX
    awaited.expect("n0", 1, 0.0)
    assert awaited.counts()["n0"] == 2


def test_what_was_cleared_is_not_given_up_again():
    awaited = Awaited()
    awaited.expect("n1", 1, 0.0)
    awaited.clear()
    awaited.give_up(PATIENCE)
    assert awaited.counts() == {}
