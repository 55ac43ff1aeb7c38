"""The tables of docs/protocol.md are those of the code, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tocsin.protocol.closing import Closing
from tocsin.protocol.problems import CREDENTIAL_PROBLEMS, PROBLEMS

PROTOCOL = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(line)} |\n" for line in (heads, *rows)]
    return "".join([lines[0], "|---" * len(heads), "|\n", *lines[1:]])


def closings() -> str:
    rows = [(str(int(each)), f"`{each.word}`", each.text, each.advice) for each in Closing]
    return table(("code", "reason", "why", "what to do"), rows)


def problems() -> str:
    rows = [
        (str(kind.status), f"`{code}`", kind.title, kind.advice)
        for code, kind in sorted(PROBLEMS.items(), key=lambda each: each[1].status)
    ]
    return table(("status", "code", "title", "what to do"), rows)


def credentials() -> str:
    rows = [
        (str(kind.status), f"`{code}`", kind.advice)
        for code, kind in sorted(CREDENTIAL_PROBLEMS.items(), key=lambda each: each[1].status)
    ]
    return table(("status", "code", "what to do"), rows)


@pytest.mark.parametrize("made", [closings, problems, credentials], ids=lambda made: made.__name__)
def test_a_table_of_the_documentation_is_that_of_the_code(made):
    assert made() in PROTOCOL.read_text(), f"docs/protocol.md should have this:\n\n{made()}"
