"""Files and functions stay short and simple: of the product, its tools and its tests alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.house.source import (
    FOLDERS,
    ROOT,
    functions_of,
    our_python,
    refuse,
    short,
    text_of,
)

FILE_LINES_MAX = 400
"""Lines. Models of the field stay under 300; past 400 a file has two subjects."""
FUNCTION_LINES_MAX = 60
"""Lines, signature and docstring included: what a screen shows at once."""

COMPLEXITY_MAX = 15
"""Ways through a function, and one (McCabe, "A Complexity Measure", 1976)."""


def test_files_are_short():
    refuse(
        (short(path) for path in our_python() if lines(text_of(path)) > FILE_LINES_MAX),
        f"Past {FILE_LINES_MAX} lines a file has two subjects; give each a file",
    )


def test_functions_are_short():
    refuse(
        long_functions(),
        f"Past {FUNCTION_LINES_MAX} lines a function does two things; give each a name",
    )


def test_functions_are_simple():
    refuse(
        complex_functions(),
        f"Past {COMPLEXITY_MAX} branches a function is a table, or two functions",
    )


def complex_functions() -> Iterator[str]:
    bound = f"lint.mccabe.max-complexity={COMPLEXITY_MAX}"
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=C901"]
    command += ["--config", bound, "--output-format=json", "dev", *FOLDERS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    for found in json.loads(done.stdout):
        path = Path(found["filename"])
        name = found["message"].split("`")[1]
        yield f"{short(path)} {name}"


def long_functions() -> Iterator[str]:
    for path in our_python():
        for function in functions_of(path):
            assert function.end_lineno is not None
            if function.end_lineno - function.lineno + 1 > FUNCTION_LINES_MAX:
                yield f"{short(path)} {function.name}"


def lines(text: str) -> int:
    return len(text.splitlines())
