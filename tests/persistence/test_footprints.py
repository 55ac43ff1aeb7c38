"""No statement that writes a log is left out of footprints."""

from __future__ import annotations

import re

import pytest

from tests.persistence.test_statements import OF_POSTGRES_ALONE
from tocsin.persistence.scripts.footprints import WRITING
from tocsin.persistence.scripts.statements import load

WRITES = {
    "heads of logs": r"(UPDATE|INTO) (users|topics)\b.*\bhead\b.*?\bhead = (u|t)\.head",
    "a head that is given": r"UPDATE (users|topics)\b[^;]*?SET [^;]*?\bhead =",
    "counters": r"UPDATE users\b[^;]*?SET [^;]*?\bunread =",
    "subscriptions": r"INTO subscriptions",
}
"""What moves a head, changes counters, or adds to what a user follows, in the words of Postgres."""


def test_each_statement_that_writes_a_log_leaves_a_footprint():
    texts = {name: sql.text for name, sql in load("postgres").items()}
    writing = {
        name
        for name, text in texts.items()
        if any(re.search(pattern, text, re.DOTALL) for pattern in WRITES.values())
    }

    assert writing == set(WRITING)


@pytest.mark.parametrize("name", [name for name in WRITING if name not in OF_POSTGRES_ALONE])
def test_a_statement_that_leaves_a_footprint_is_one_of_the_stores(name):
    assert name in load("sqlite")
