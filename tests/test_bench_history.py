"""The history of the costs, and the picture of it in the docs."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

from bench.history import Record, record, recorded
from bench.measuring import Row
from bench.plotting import PICTURE, SHOWN, draw

POST = "POST on a kept connection"


def test_the_costs_of_a_run_are_recorded_behind_those_of_earlier_ones(tmp_path):
    path = tmp_path / "history.jsonl"
    for cost in (200.04, 100.0):
        rows = [Row(POST, cost, "µs CPU"), Row("POST, rate", 5000.0, "1/s")]
        record("postgres", {row.name: row for row in rows}, 4.0, path)

    assert [each.costs for each in recorded(path)] == [{POST: 200.0}, {POST: 100.0}]


def test_the_picture_in_the_docs_is_that_of_the_history():
    assert PICTURE.read_text(encoding="utf-8") == draw(recorded())


def test_labels_do_not_lie_on_one_another():
    costs = dict.fromkeys(SHOWN, 100.0)
    picture = ElementTree.fromstring(draw([Record("2026-11-30", "a<b", "postgres", 4.0, costs)]))
    labels = [
        float(each.attrib["y"])
        for each in picture.iter("{http://www.w3.org/2000/svg}text")
        if each.attrib.get("fill")
    ]

    assert len(labels) == len(SHOWN)
    assert all(lower - upper >= 12 for upper, lower in pairwise(labels))
