"""The command `./dev simulate`, as a person types it."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from simulation.__main__ import main


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["--seed", "3", "--duration", "6", "--calm", *arguments])


def figures(*arguments: str) -> dict[str, Any]:
    result = simulate("--json", *arguments)
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.output)["figures"]
    return told


def test_a_field_of_the_plan_is_set():
    assert figures("--set", "posts=3")["notifications"] > 0
    assert figures("--set", "posts=3", "--set", "posts=0")["notifications"] == 0


def test_an_unknown_field_or_a_text_for_a_number_is_refused_with_a_remedy():
    unknown = simulate("--set", "updats=0.4")
    assert unknown.exit_code == 2
    assert "updates" in unknown.output

    assert "x is no number" in simulate("--set", "updates=x").output
    assert "nothing is no number" in simulate("--set", "updates").output


def test_the_last_line_says_that_all_promises_held():
    assert simulate().output.endswith("\nAll promises held.\n")
    assert simulate("--until", "1").output.endswith("\nEnded early; nothing was judged.\n")


def test_the_last_line_of_many_runs_says_so_for_all():
    result = simulate("--runs", "2", "--processes", "1")
    assert result.output.endswith("\nAll promises held, with every seed.\n")
