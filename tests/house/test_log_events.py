"""The events of log lines stand in docs/operations.md, by which operators look for them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.source import PACKAGE, ROOT, parse, python_files, refuse, short

PAGE = ROOT / "docs" / "operations.md"
SEVERITY = ("debug", "info", "warning", "error", "exception", "critical")
FOR_OPERATORS = SEVERITY[2:]
"""Levels of lines that an operator should look into, and finds on the page."""
OUTAGES = re.compile(r"(store|bus|spool) (still lost|lost|ready)")
"""Events that `tocsin.actors.reasons` makes of the name of a service."""


def test_lines_that_need_an_operator_are_explained():
    page = PAGE.read_text()
    refuse(
        (
            f"{place}: {event}"
            for place, level, event in events()
            if level in FOR_OPERATORS and f"`{event}`" not in page
        ),
        f"Say in {short(PAGE)} what the line means, and what to do",
    )


def test_explained_lines_are_written():
    written = {event for _, _, event in events()}
    refuse(
        (
            event
            for event in explained(PAGE.read_text())
            if event not in written and not OUTAGES.fullmatch(event)
        ),
        "No line of the product has this event",
    )


# --- the rules catch what they are for ------------------------------------------------------------


def test_events_are_read_from_both_sides():
    source = 'logger.info("a b")\nself._logger.warning(\n    "c d", e=1)\naudit("f", x)\n'
    assert list(events_in(ast.parse(source))) == [("info", "a b"), ("warning", "c d")]
    page = "| event | means |\n|---|---|\n| `a b`, `c d` (warning) | `e` says why |\n\n| x | y |\n"
    assert list(explained(page)) == ["a b", "c d"]


@pytest.mark.parametrize(("event", "is_made"), [("bus still lost", True), ("bus lost by", False)])
def test_events_of_outages_are_known(event, is_made):
    assert bool(OUTAGES.fullmatch(event)) is is_made


# --- how they look --------------------------------------------------------------------------------


def events() -> Iterator[tuple[str, str, str]]:
    """Where a line is logged, its level, and its event."""
    for path in python_files(PACKAGE):
        for level, event in events_in(parse(path)):
            yield short(path), level, event


def events_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Level and event of each line; of levels that the code chooses from, the most severe."""
    chosen = {
        target.id: max(levels, key=SEVERITY.index)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        if (levels := re.findall(r"logger\.(\w+)", ast.unparse(node.value)))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(event))]) if (
                name in chosen
            ):
                yield chosen[name], event
            case ast.Call(
                func=ast.Attribute(value=owner, attr=name), args=[ast.Constant(value=str(event))]
            ) if name in SEVERITY and ast.unparse(owner).endswith("logger"):
                yield name, event
            case _:
                pass


def explained(page: str) -> Iterator[str]:
    """The events in the first column of the table of events."""
    table = page.partition("| event | means |\n")[2].partition("\n\n")[0]
    for row in table.splitlines()[1:]:
        if "logger `audit`" not in row:
            yield from re.findall(r"`([^`]+)`", row.split("|")[1])
