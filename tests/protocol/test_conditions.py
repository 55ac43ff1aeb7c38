"""The conditions of `If-Match` and `If-None-Match`."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.conditions import expected_revisions, has_tag


@pytest.mark.parametrize(
    ("header", "revisions"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"1"', (1,)),
        ('  "12"\t', (12,)),
        ('W/"3"', (3,)),
        ('"3-4f6a"', (3,)),
        ('W/"3-4f6a"', (3,)),
        ('"3-4f6a-gzip"', (3,)),
        ('"1", W/"2" ,, "3"', (1, 2, 3)),
        ('"1","1"', (1,)),
        ('"7" "8"', (7, 8)),
        ('"999999999"', (999_999_999,)),
        ("", ()),
        ("1", ()),
        ('""', ()),
        ('"', ()),
        ('"x"', ()),
        ('"01"', ()),
        ('"0"', ()),
        ('"-1"', ()),
        ('"1.0"', ()),
        ('"1 "', ()),
        ('w/"1"', ()),
        ('"1"x', ()),
        ('"\u0661"', ()),
        ('"9999999999"', ()),
        ('"1,2"', ()),
        ('nonsense, "4"', (4,)),
        ('"*", "4", *', (4,)),
        ('"unclosed, "5"', (5,)),
    ],
)
def test_if_match_names_the_revisions_that_may_be_changed(header, revisions):
    assert expected_revisions(header) == revisions


@pytest.mark.parametrize(
    ("header", "has"),
    [
        (None, False),
        ("", False),
        ("*", True),
        ('"a"', True),
        ('W/"a"', True),
        ('"b" , "a"', True),
        ('nonsense, "a"', True),
        ('"b"', False),
        ('"b,a"', False),
        ("a", False),
        ('"a"b', False),
    ],
)
def test_whether_a_tag_is_among_those(header, has):
    assert has_tag(header, '"a"') is has


@given(st.text(alphabet='W/"123-, *x\t\xff'))
def test_nothing_is_malformed(header):
    for revision in expected_revisions(header) or ():
        assert 0 < revision < 1_000_000_000
    has_tag(header, '"1"')


@given(st.lists(st.integers(1, 999_999_999), unique=True), st.data())
def test_each_revision_is_found_in_any_form_of_the_list(revisions, data):
    between = st.sampled_from([",", ", ", " ,\t", ",,", ", x, "])
    tag = st.sampled_from(['"{}"', 'W/"{}"', '"{}-ab"'])
    header = "".join(data.draw(tag).format(each) + data.draw(between) for each in revisions)
    assert expected_revisions(header) == tuple(revisions)


@pytest.mark.parametrize(
    "piece", ['"', '"a', '"a,', 'W/"', "W/", '""', '"1"x', '"1",', " ", ",", '",', '"\xff', "x,"]
)
def test_a_header_costs_what_it_is_long(piece):
    header = piece * (65_536 // len(piece))
    started = time.process_time()
    expected_revisions(header)
    has_tag(header, '"a"')
    assert time.process_time() - started < 0.5
