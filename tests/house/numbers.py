"""The house in numbers, as the table in docs/architecture.md has them.

    PYTHONPATH=. .venv/bin/python -m tests.house.numbers

A function is counted with its signature and docstring, one within another by itself. A comment
behind code, and the string below a constant, count as code.
"""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from collections.abc import Sequence
from pathlib import Path

from tests.house.source import ROOT, Function, functions_of, parse, python_files, text_of

ROOMS = (
    *("tocsin", "tocsin/protocol", "tocsin/actors", "tocsin/actors/runtime"),
    *("tocsin/persistence", "tocsin/server", "simulation", "tests"),
)


def main() -> None:
    print("| | files | lines | file: median / longest | function: median / p90 / longest |", end="")
    print(" comments | docstrings |")
    for room in ROOMS:
        print(row(room, python_files(ROOT / room)))
    ignored = sum(text_of(each).count("# type: ignore") for each in python_files(ROOT / "tocsin"))
    print(f"`type: ignore` in tocsin: {ignored}")


def row(room: str, files: Sequence[Path]) -> str:
    """The line of the table for *files*."""
    lines = [len(text_of(each).splitlines()) for each in files]
    functions = sorted(lines_of(each) for path in files for each in functions_of(path))
    total = sum(lines)
    cells = (
        *(room, str(len(files)), f"{total:,}".replace(",", " ")),
        f"{statistics.median(lines):.0f} / {max(lines)}",
        " / ".join(map(str, middle_and_ends(functions))),
        f"{100 * sum(map(comment_lines, files)) / total:.1f} %",
        f"{100 * sum(map(docstring_lines, files)) / total:.1f} %",
    )
    return f"| {' | '.join(cells)} |"


def middle_and_ends(numbers: Sequence[int]) -> tuple[int, int, int]:
    """Median, ninth tenth and greatest of sorted *numbers*."""
    return round(statistics.median(numbers)), numbers[len(numbers) * 9 // 10], numbers[-1]


def comment_lines(path: Path) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text_of(path)).readline)
    comments = (each for each in tokens if each.type == tokenize.COMMENT)
    return sum(each.line.lstrip().startswith("#") for each in comments)


def docstring_lines(path: Path) -> int:
    documented = (ast.Module, ast.ClassDef, Function)
    nodes = (each for each in ast.walk(parse(path)) if isinstance(each, documented))
    return sum(lines_of(each.body[0]) for each in nodes if ast.get_docstring(each))


def lines_of(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


if __name__ == "__main__":
    main()
