"""Numbers have a unit and a reason, a limit is known by its name, and tests replace none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.house.source import (
    PACKAGE,
    ROOT,
    our_python,
    parse,
    python_files,
    refuse,
    short,
    text_of,
)

BOUND_WORD = re.compile(r"(^|_)(max|min|most|least|maximum|minimum)(_|$)", re.IGNORECASE)
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
BOUND_LAST = re.compile(r"(^|_)(max|min)$", re.IGNORECASE)


def test_numbers_say_their_unit_and_reason():
    refuse(
        (
            f"{short(path)} {name}"
            for path in our_python()
            if not short(path).startswith("tests/")
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


def test_times_to_wait_have_names():
    refuse(
        (
            f"{short(path)}:{line}"
            for room in (PACKAGE, ROOT / "clients")
            for path in python_files(room)
            for line in bare_waits(parse(path))
        ),
        "Give the time a name, with its unit and its reason: a caller or a test may want another",
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
        ("A, B = 1, 2", ["A, B"]),
        ("A, B = 1, 2  # seconds", []),
        ("A = (0.1, 5)", ["A"]),
        ("A = frozenset({1, 2})", ["A"]),
        ("A = (1, 'x')", []),
        ("class DoorLimits:\n    waiting_max: int = 3", ["waiting_max"]),
        ("class DoorLimits:\n    waiting_max: int = 3  # clients", []),
        ("class Door:\n    waiting: int = 0", []),
    ],
)
def test_bare_numbers_are_seen(source, found):
    assert list(bare_numbers(ast.parse(source), source)) == found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("trio.sleep(0.5)", [1]),
        ("trio.sleep(0)", []),
        ("trio.sleep(_PAUSE)", []),
        ("with trio.move_on_after(\n    1, shield=True\n): ...", [1]),
        ("f(0.5)", []),
    ],
)
def test_bare_waits_are_seen(source, lines):
    assert list(bare_waits(ast.parse(source))) == lines


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
        case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value):
            pass
        case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
            pass
        case _:
            return None
    is_one = is_number(value) or are_numbers(value)
    return ast.unparse(target).strip("()") if is_one else None


def are_numbers(value: ast.expr) -> bool:
    """Whether *value* is a tuple of numbers, or a set of them."""
    match value:
        case ast.Call(func=ast.Name(id="frozenset"), args=[inner]):
            return are_numbers(inner)
        case ast.Tuple(elts=numbers) | ast.Set(elts=numbers) | ast.List(elts=numbers):
            return bool(numbers) and all(map(is_number, numbers))
        case _:
            return False


def bare_waits(tree: ast.Module) -> Iterator[int]:
    """The lines where a number stands for the seconds of a wait."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=function, args=[ast.Constant(value=int() | float() as seconds), *_]):
                name = ast.unparse(function).rpartition(".")[2]
                if seconds and name in ("sleep", "move_on_after", "fail_after"):
                    yield node.lineno
            case _:
                pass


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
