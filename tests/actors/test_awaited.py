"""The acknowledgments that are still to come: counted, and given up in the order of their times."""

from __future__ import annotations

from tocsin.actors.publishing.awaited import PATIENCE, Awaited


def test_the_last_acknowledgment_that_is_expected_is_told_from_the_others():
    awaited = Awaited()
    awaited.expect("n1", 2, 0.0)
    assert not awaited.acknowledged("n1")
    assert awaited.counts() == {"n1": 1}
    assert awaited.acknowledged("n1")
    assert not awaited.acknowledged("n1")
    assert "n1" not in awaited


def test_answers_that_take_too_long_are_given_up():
    awaited = Awaited()
    awaited.expect("old", 1, 0.0)
    awaited.expect("new", 1, 1.0)
    assert awaited.give_up(PATIENCE) == ["old"]
    assert awaited.counts() == {"new": 1}
    assert awaited.give_up(PATIENCE) == []


def test_a_change_adds_to_what_is_expected_and_begins_its_time_anew():
    awaited = Awaited()
    awaited.expect("n1", 1, 0.0)
    awaited.expect("n2", 1, 0.0)
    awaited.expect("n1", 2, 1.0)
    assert awaited.give_up(PATIENCE) == ["n2"]
    assert awaited.counts() == {"n1": 3}


def test_a_forgotten_answer_is_not_given_up():
    awaited = Awaited()
    awaited.expect("n1", 1, 0.0)
    awaited.forget("n1")
    awaited.forget("n1")
    assert awaited.give_up(PATIENCE) == []
