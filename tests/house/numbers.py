"""The house in numbers, as the table in docs/architecture.md has them.

    PYTHONPATH=. .venv/bin/python -m tests.house.numbers

A function is counted with its signature and docstring, one within another by itself. A comment
behind code, and the string below a constant, count as code.
"""

from __future__ import annotations

import ast
import io
import json
import re
import statistics
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.house.source import ROOT, Function, functions_of, parse, python_files, text_of

RUN_LINES = 8
"""Lines of a run: fewer are alike by chance, such as the fields of two records."""
UNCOUNTED = re.compile(r"$|#|from |import |[A-Za-z_]+,$|[])}]+,?$")
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
    print(
        f"public names in tocsin with a docstring: {documented(python_files(ROOT / 'tocsin')):.0%}"
    )
    size = {room: sum(map(lines_in, python_files(ROOT / room))) for room in ("tocsin", "tests")}
    print(f"lines of tests per line of tocsin: {size['tests'] / size['tocsin']:.2f}")
    for room in ("tocsin", "simulation", "tests"):
        found = complexities(ROOT / room)
        beyond = sum(each > 10 for each in found), sum(each > 15 for each in found)
        print(
            f"complexity in {room}: {statistics.mean(found):.2f} on average, {beyond} above 10, 15"
        )
        texts = [text_of(each) for each in python_files(ROOT / room)]
        share = repeated_lines(texts) / sum(len(text.splitlines()) for text in texts)
        print(f"lines in {room} that stand twice, in runs of {RUN_LINES}: {share:.2%}")


def row(room: str, files: Sequence[Path]) -> str:
    """The line of the table for *files*."""
    lines = list(map(lines_in, files))
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


def complexities(room: Path) -> list[int]:
    """The McCabe complexity of each function, as ruff counts it: one, and its forks."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=C901"]
    command += ["--config", "lint.mccabe.max-complexity=0", "--output-format=json", str(room)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    told = (each["message"] for each in json.loads(done.stdout))
    return [int(found[1]) for each in told if (found := re.search(r"\((\d+) > 0\)", each))]


def repeated_lines(texts: Iterable[str]) -> int:
    """The number of lines in *texts* that belong to a run of `RUN_LINES` which stands twice.

    Blank lines, comments and imports do not count, and neither does indentation.
    """
    places: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, text in enumerate(texts):
        lines = [(at, line) for at, line in enumerate(map(str.strip, text.splitlines()))]
        lines = [each for each in lines if not UNCOUNTED.match(each[1])]
        for start in range(len(lines) - RUN_LINES + 1):
            run = lines[start : start + RUN_LINES]
            places[tuple([line for _, line in run])] += [(number, at) for at, _ in run]
    twice = (each for each in places.values() if len(each) > RUN_LINES)
    return len({place for each in twice for place in each})


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


def documented(files: Iterable[Path]) -> float:
    """The share of public functions, methods and classes that have a docstring."""
    public = [each for path in files for each in public_in(parse(path))]
    return sum(ast.get_docstring(each) is not None for each in public) / len(public)


def public_in(tree: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_in(node)


def lines_in(path: Path) -> int:
    return len(text_of(path).splitlines())


def lines_of(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


if __name__ == "__main__":
    main()
