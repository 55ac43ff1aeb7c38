"""Public docstrings name the errors that are raised, and ports and edges say what cancelling does.

The word may stand in the docstring of the function, of its class, of a class that this one extends,
or of its module. A method without a docstring of its own, or with one that names the port, keeps
the contract that the port tells. An operation's handler keeps that of `Operations.define`, its one
caller; its docstring is a part of the API's documents.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house.source import PACKAGE, ROOT, Function, parse, python_files, refuse, short

OURS = {"AssertionError", "NotImplementedError"}
"""Errors that only a mistake of ours raises."""
FOR_PEOPLE = "tocsin/cli/"
"""The room whose functions are commands: their errors are words for the person who typed one."""
EDGES = (
    *("tocsin/server", "tocsin/carriers", "tocsin/outbound", "tocsin/client"),
    "clients/python/tocsin_client",
)
"""The rooms where the world waits at the other end: a public function there is cancelled often."""
OPERATION = "operations.define("
"""The decorator of an operation's handler."""


class Documented(NamedTuple):
    """A public function, and the docstrings above it, joined."""

    name: str
    function: Function
    above: str


def test_public_functions_name_the_errors_that_they_raise():
    refuse(
        (
            f"{short(path)}: {name} raises {error}"
            for path in promised()
            for name, error in untold_errors(parse(path), ports())
        ),
        'Say in the docstring "Raises `X` if …": a caller cannot see it from the signature',
    )


def test_functions_that_wait_and_raise_say_what_cancelling_does():
    refuse(
        (
            f"{short(path)}: {name}"
            for path in promised()
            for name in untold_cancelling(parse(path), ports())
        ),
        "Say what cancelling does: nothing, half of it, or all the same",
    )


def test_all_that_waits_at_the_edges_says_what_cancelling_does():
    refuse(
        (
            f"{short(path)}: {name}"
            for room in EDGES
            for path in python_files(ROOT / room)
            for name in silent_on_cancelling(parse(path), ports())
        ),
        "Say what cancelling does: nothing, half of it, or all the same",
    )


def test_the_contract_of_all_handlers_says_what_cancelling_does():
    operation = parse(PACKAGE / "server" / "api" / "operation.py")
    [define] = [each for each in documented(operation) if each.name == "Operations.define"]

    assert tells_of_cancelling(docstring(define.function))


def test_ports_say_what_cancelling_does():
    refuse(
        (
            f"{short(path)}: {port.name}.{method.name}"
            for path in python_files(PACKAGE)
            for port in ports_in(parse(path))
            for method in port.body
            if isinstance(method, ast.AsyncFunctionDef)
            if not tells_of_cancelling(docstring(port) + docstring(method))
        ),
        "An adapter and its caller have to agree on it: say what cancelling does",
    )


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n    raise ValueError('x')", [("f", "ValueError")]),
        ("def f():\n    '''Raises `ValueError`.'''\n    raise ValueError", []),
        ("'''All raise `ValueError`.'''\ndef f():\n    raise ValueError", []),
        ("class A:\n    '''`Gone` is raised.'''\n    def f(self):\n        raise x.Gone()", []),
        ("def _f():\n    raise ValueError", []),
        ("class _A:\n    def f(self):\n        raise ValueError", []),
        ("def f():\n    def g():\n        raise ValueError\n    return g", []),
        ("def f():\n    raise error", []),
        ("class A:\n    def take(self):\n        raise Gone", []),
        ("class A:\n    def take(self):\n        '''See `Port`.'''\n        raise Gone", []),
        (
            "class A:\n    def take(self):\n        '''Take.'''\n        raise Gone",
            [("A.take", "Gone")],
        ),
    ],
)
def test_untold_errors_are_seen(source, found):
    assert list(untold_errors(ast.parse(source), {"take": "Port"})) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("async def f():\n    raise Gone", ["f"]),
        ("async def f():\n    '''Cancelling does no harm.'''\n    raise Gone", []),
        ("async def f():\n    '''Cancelled, it ends.'''\n    raise Gone", []),
        ("async def f():\n    pass", []),
        ("def f():\n    raise Gone", []),
    ],
)
def test_untold_cancelling_is_seen(source, found):
    assert list(untold_cancelling(ast.parse(source), {})) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("async def f():\n    pass", ["f"]),
        ("async def f():\n    '''Cancelling loses nothing.'''", []),
        ("async def _f():\n    pass", []),
        ("@operations.define('GET', '/')\nasync def f():\n    pass", []),
        ("@asynccontextmanager\nasync def f():\n    yield", ["f"]),
        ("class A(OperatorCalls):\n    async def f(self):\n        pass", []),
        ("class A(Services):\n    async def f(self):\n        pass", ["A.f"]),
    ],
)
def test_silence_on_cancelling_is_seen(source, found):
    assert list(silent_on_cancelling(ast.parse(source), {})) == found


# --- how they look --------------------------------------------------------------------------------


def promised() -> Iterator[Path]:
    """The modules whose functions are called by code that relies on their docstrings."""
    for room in (PACKAGE, ROOT / "clients"):
        yield from (each for each in python_files(room) if FOR_PEOPLE not in short(each))


def untold_errors(tree: ast.Module, contracts: dict[str, str]) -> Iterator[tuple[str, str]]:
    for each in documented(tree):
        if not is_told_by_a_port(each.function, contracts):
            told = each.above + docstring(each.function)
            yield from ((each.name, error) for error in errors(each.function) if error not in told)


def untold_cancelling(tree: ast.Module, contracts: dict[str, str]) -> Iterator[str]:
    for each in waiting(tree, contracts):
        if errors(each.function):
            yield each.name


def silent_on_cancelling(tree: ast.Module, contracts: dict[str, str]) -> Iterator[str]:
    for each in waiting(tree, contracts):
        decorators = map(ast.unparse, each.function.decorator_list)
        if not any(text.startswith(OPERATION) for text in decorators):
            yield each.name


def waiting(tree: ast.Module, contracts: dict[str, str]) -> Iterator[Documented]:
    """The public async functions without a word on cancelling."""
    for each in documented(tree):
        function = each.function
        told = each.above + docstring(function)
        is_told = tells_of_cancelling(told) or is_told_by_a_port(function, contracts)
        if isinstance(function, ast.AsyncFunctionDef) and not is_told:
            yield each


def documented(
    tree: ast.Module | ast.ClassDef, prefix: str = "", above: str = ""
) -> Iterator[Documented]:
    above += docstring(tree)
    if isinstance(tree, ast.ClassDef):
        above += "".join(class_docstrings().get(ast.unparse(base), "") for base in tree.bases)
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from documented(node, f"{prefix}{node.name}.", above)
            else:
                yield Documented(prefix + node.name, node, above)


def errors(function: Function) -> list[str]:
    """The classes of exceptions that *function* itself raises, sorted."""
    found = set()
    for node in inside(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = ast.unparse(raised).rpartition(".")[2]
            if name[:1].isupper() and name not in OURS:
                found.add(name)
    return sorted(found)


def inside(function: Function) -> Iterator[ast.AST]:
    """The nodes of *function* without those of functions and classes in it."""
    waiting: list[ast.AST] = [*function.body]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            yield node
            waiting += ast.iter_child_nodes(node)


def is_told_by_a_port(function: Function, contracts: dict[str, str]) -> bool:
    port = contracts.get(function.name)
    return port is not None and (not docstring(function) or f"`{port}`" in docstring(function))


@cache
def ports() -> dict[str, str]:
    """Method → the port that tells its contract."""
    return {
        method.name: port.name
        for path in python_files(PACKAGE)
        for port in ports_in(parse(path))
        for method in port.body
        if isinstance(method, Function)
    }


@cache
def class_docstrings() -> dict[str, str]:
    """Public class → its docstring."""
    return {
        node.name: docstring(node)
        for path in python_files(PACKAGE)
        for node in parse(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


def ports_in(tree: ast.Module) -> Iterator[ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
            yield node


def docstring(node: ast.Module | ast.ClassDef | Function) -> str:
    return ast.get_docstring(node) or ""


def tells_of_cancelling(text: str) -> bool:
    return re.search(r"\b[Cc]ancel", text) is not None
