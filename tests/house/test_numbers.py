"""The figures of the house are counted as docs/architecture.md says."""

from __future__ import annotations

from tests.house.numbers import RUN_LINES, complexities, repeated_lines

RUN = "".join(f"line {number}\n" for number in range(RUN_LINES))


def test_the_lines_of_a_run_that_stands_twice_are_counted_in_both_places():
    assert repeated_lines([RUN, f"other\n{RUN}"]) == 2 * RUN_LINES


def test_a_run_counts_whatever_stands_between_its_lines():
    spread = RUN.replace("\n", "\n\n    # a comment\n    ")
    assert repeated_lines([RUN, spread]) == 2 * RUN_LINES


def test_shorter_runs_and_imports_are_not_counted():
    short = RUN.partition("\n")[2]
    imports = "".join(f"import module_{number}\n" for number in range(20))
    assert repeated_lines([RUN, short, imports, imports]) == 0


def test_each_function_has_a_complexity(tmp_path):
    source = "def f():\n    pass\n\n\ndef g(x):\n    if x:\n        return 1\n    return 2\n"
    (tmp_path / "module.py").write_text(source)
    assert complexities(tmp_path) == [1, 2]
