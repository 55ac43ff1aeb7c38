"""The judgement of a soak: what grew, and what a table of it shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.soak import Minute, count_actors, grown, seconds, table

FIRST = Minute(
    at=0.0,
    cpu=1.0,
    memory=80 * 1024 * 1024,
    descriptors=14,
    tasks=35,
    actors=15,
    sessions=0,
    pushes=0,
    database=350_000,
)
STEADY = replace(FIRST, descriptors=214, tasks=240, actors=615, sessions=200, database=9_000_000)


def hour(*, memory_step: int = 0) -> list[Minute]:
    minutes = (
        replace(
            STEADY,
            at=60.0 * number,
            cpu=1.0 + 6.0 * number,
            pushes=9000 * number,
            memory=STEADY.memory + memory_step * number,
        )
        for number in range(1, 60)
    )
    return [FIRST, *minutes]


def test_memory_that_fills_in_the_beginning_and_then_stands_still_does_not_grow():
    assert list(grown(hour())) == []


def test_memory_that_goes_on_growing_is_named_with_its_figures():
    (found,) = grown(hour(memory_step=512 * 1024))
    assert found.startswith("memory: ")


def test_a_soak_of_a_few_looks_tells_nothing():
    assert list(grown(hour(memory_step=8 * 1024 * 1024)[:7])) == []


def test_the_table_has_a_dozen_rows_and_the_share_of_a_core():
    head, _, first, second, *others = table(hour()).splitlines()
    assert head.count("|") == first.count("|")
    assert first.startswith("| 0 | - | 80.0 | 14 | 35 |")
    assert second.startswith("| 5 | 10% | 80.0 | 214 | 240 | 615 | 45000 |")
    assert len(others) == 10


def test_actors_that_the_tree_only_counts_are_counted():
    leaf = {"child_count": 0, "children": []}
    tree = [{"child_count": 3, "children": [leaf]}, leaf]
    assert count_actors(tree) == 5


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("10m", 600), ("24h", 86_400)])
def test_times_are_written_with_their_unit(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-1h"])
def test_a_time_without_its_unit_is_refused(text):
    with pytest.raises(SystemExit):
        seconds(text)
