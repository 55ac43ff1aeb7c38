"""Numbers have a unit and a reason, a limit is known by its name, and tests replace none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.house.source import PACKAGE, ROOT, parse, python_files, refuse, short, text_of

BOUND_WORD = re.compile(r"(^|_)(max|min|most|least|maximum|minimum)(_|$)", re.IGNORECASE)
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
BOUND_LAST = re.compile(r"(^|_)(max|min)$", re.IGNORECASE)


def test_numbers_say_their_unit_and_reason():
    refuse(
        (
            f"{short(path)} {name}"
            for path in python_files(PACKAGE)
            for name in bare_numbers(parse(path), text_of(path))
        ),
        "A number wants its unit and its reason, in a string below it or a comment",
    )


def test_the_name_of_a_limit_ends_in_max_or_min():
    refuse(
        (
            f"{short(path)}: {name}"
            for path in python_files(PACKAGE)
            for name in declared_names(parse(path))
            if BOUND_WORD.search(name) and not BOUND_LAST.search(name)
        ),
        "A limit is called `<thing>_<unit>_max` or `_min`: all limits sort and grep alike",
    )


def test_no_test_replaces_a_constant():
    refuse(
        (
            f"{short(path)}: {name}"
            for path in python_files(ROOT / "tests")
            for name in replaced_constants(parse(path))
        ),
        "Make the limit an argument with the constant as its default, and let the test pass it",
    )


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("A: Final = 3", ["A"]),
        ("A = -2 * 60.0", ["A"]),
        ('A = 3\n"""Seconds."""', []),
        ("A = 3  # seconds", []),
        ("# Seconds.\nA = 3", []),
        ("A = True", []),
        ("A = 'x'", []),
        ("a, b = 1, 2", []),
        ("class DoorLimits:\n    waiting_max: int = 3", ["waiting_max"]),
        ("class DoorLimits:\n    waiting_max: int = 3  # clients", []),
        ("class Door:\n    waiting: int = 0", []),
    ],
)
def test_bare_numbers_are_seen(source, found):
    assert list(bare_numbers(ast.parse(source), source)) == found


@pytest.mark.parametrize(
    ("name", "is_fine"),
    [("bytes_max", True), ("max_bytes", False), ("most", False), ("climax", True), ("MAX", True)],
)
def test_limits_are_seen(name, is_fine):
    assert bool(not BOUND_WORD.search(name) or BOUND_LAST.search(name)) is is_fine


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('monkeypatch.setattr(ledger, "LINES_MAX", 1)', ["LINES_MAX"]),
        ('monkeypatch.setattr(ledger, "_CROWD", 1)', ["_CROWD"]),
        ('patch.setattr("simulation.runs.simulator.ALL", ())', ["ALL"]),
        ("ledger.LINES_MAX = 1", ["LINES_MAX"]),
        ('monkeypatch.setattr(Drain, "_forget", fail)', []),
        ('monkeypatch.setenv("TOCSIN_NODE", "a")', []),
        ("LINES_MAX = 1", []),
    ],
)
def test_replaced_constants_are_seen(source, found):
    assert list(replaced_constants(ast.parse(source))) == found


# --- how they look --------------------------------------------------------------------------------


def bare_numbers(tree: ast.Module, text: str) -> Iterator[str]:
    """The constants that are numbers, of the module and of its records of limits, and say nothing
    of themselves."""
    lines = ["", *text.splitlines()]
    records = (each for each in tree.body if isinstance(each, ast.ClassDef))
    bodies = [tree.body, *(each.body for each in records if each.name.endswith("Limits"))]
    for node, following in (pair for body in bodies for pair in pairwise([*body, ast.Pass()])):
        name = constant_name(node)
        if name is None:
            continue
        is_told_below = isinstance(following, ast.Expr) and isinstance(
            following.value, ast.Constant
        )
        is_told_beside = "#" in lines[node.lineno]
        is_told_above = lines[node.lineno - 1].lstrip().startswith("#")
        if not (is_told_below or is_told_beside or is_told_above):
            yield name


def constant_name(node: ast.stmt) -> str | None:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_number(value):
            return name
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if is_number(value):
            return name
        case _:
            return None


def is_number(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=number):
            return type(number) in (int, float)
        case ast.BinOp(left=left, right=right):
            return is_number(left) and is_number(right)
        case ast.UnaryOp(operand=operand):
            return is_number(operand)
        case _:
            return False


def declared_names(tree: ast.Module) -> Iterator[str]:
    """The names of parameters, fields, constants and variables; not those of calls to others."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
            case _:
                pass


def replaced_constants(tree: ast.Module) -> Iterator[str]:
    """The constants of modules that are set from outside, by assignment or by `setattr`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="setattr"), args=arguments):
                named = (each.value for each in arguments[:2] if isinstance(each, ast.Constant))
                names = [str(each).rpartition(".")[2] for each in named]
            case ast.Attribute(attr=name, ctx=ast.Store()):
                names = [name]
            case _:
                continue
        yield from (each for each in names if CONSTANT.fullmatch(each))
