"""The text of arrays: a short way for common columns says what the long way would."""

from __future__ import annotations

import pytest

from tocsin.persistence.postgres.arrays import booleans, integers, octets, texts


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ([], "{}"),
        ([7], "{7}"),
        ([7, 7, 7], "{7,7,7}"),
        ([7, 8, 7], "{7,8,7}"),
        ([None], "{NULL}"),
        ([None, None], "{NULL,NULL}"),
        ([None, 3, None], "{NULL,3,NULL}"),
        ([0, None, 0], "{0,NULL,0}"),
        ((-1, -1), "{-1,-1}"),
    ],
)
def test_integers_are_written_one_by_one_whether_equal_or_not(column, text):
    assert integers(column) == text


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (["a", "a"], '{"a","a"}'),
        (["a", "b", "a"], '{"a","b","a"}'),
        (['say "b"', 'say "b"'], '{"say \\"b\\"","say \\"b\\""}'),
        ([None, None, None], "{NULL,NULL,NULL}"),
        ([None, "NULL", None], '{NULL,"NULL",NULL}'),
        (["", None, ""], '{"",NULL,""}'),
        (["\\", None], '{"\\\\",NULL}'),
    ],
)
def test_texts_are_escaped_where_they_have_to_be(column, text):
    assert texts(column) == text


def test_booleans_and_bytes_have_words_of_their_own():
    assert booleans([True, None, False]) == "{t,NULL,f}"
    assert octets([b"\x0a\xff", None]) == '{"\\\\x0aff",NULL}'
