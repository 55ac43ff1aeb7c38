"""The errors of a store as values: each asker of a batch is told of the same trouble."""

from __future__ import annotations

import pytest

import tocsin.persistence.postgres.store
import tocsin.persistence.sqlite.store  # noqa: F401  (both define errors of their own)
from tocsin.persistence.store import StoreUnavailable


def kinds(base):
    yield base
    for inheritor in base.__subclasses__():
        yield from kinds(inheritor)


@pytest.mark.parametrize("kind", [*kinds(StoreUnavailable)])
def test_every_kind_can_be_raised_once_more_and_says_the_same(kind):
    error = kind("file: it was moved", readable=True, reason="it was moved", timed_out=True)
    again = error.again()
    assert type(again) is kind
    assert again is not error
    assert str(again) == "file: it was moved"
    assert (again.readable, again.reason, again.timed_out) == (True, "it was moved", True)
