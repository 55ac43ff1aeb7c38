"""The comparison with the commit before: what counts as dearer, and what it is compared with."""

from __future__ import annotations

import pytest

from bench.checking import CONFIRMING, commit_before, confirmed, judge, verdicts


@pytest.mark.parametrize(
    ("ratios", "dearer"),
    [
        ([1.0, 1.0, 1.0], False),
        ([1.06, 1.07, 1.2], True),
        ([1.04, 1.04, 1.5], False),
        ([0.7, 0.8, 1.3, 1.4, 1.5], False),
        ([0.9, 1.06, 1.07, 1.08], True),
        ([0.5, 0.5, 0.6], False),
    ],
)
def test_a_cost_is_dearer_if_the_middle_is_and_nearly_all_pairs_agree(ratios, dearer):
    assert judge("POST", ratios).dearer is dearer


def test_costs_that_only_one_of_the_trees_has_are_not_compared():
    pairs = [({"POST": 100.0, "gone": 1.0}, {"POST": 110.0, "new": 2.0})] * 4

    assert [(each.name, each.dearer) for each in verdicts(pairs)] == [("POST", True)]
    assert verdicts(pairs)[0].ratio == pytest.approx(1.1)


def test_a_cost_that_looks_dearer_is_measured_again_and_that_decides():
    def measure(count):
        asked.append(count)
        post = 120.0 if len(asked) == 1 else 101.0
        return [({"POST": 100.0, "push": 100.0}, {"POST": post, "push": 130.0})] * count

    asked: list[int] = []
    told = {each.name: each for each in confirmed(measure, 3)}

    assert asked == [3, CONFIRMING]
    assert not told["POST"].dearer
    assert told["push"].dearer


def test_a_scenario_that_does_not_look_dearer_is_not_measured_again():
    def measure(count):
        asked.append(count)
        return [({"POST": 100.0}, {"POST": 100.0})] * count

    asked: list[int] = []
    assert [each.dearer for each in confirmed(measure, 3)] == [False]
    assert asked == [3]


def test_the_program_of_the_commit_before_is_unpacked_and_removed_again():
    with commit_before() as tree:
        assert (tree / "tocsin" / "trunk.py").exists()
    assert not tree.exists()
