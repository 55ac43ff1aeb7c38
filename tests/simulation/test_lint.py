"""The rules of determinism that can be checked in the source.

The code uses no clock, no random numbers and no entropy of the machine; no `id()` and `hash()`,
which differ from process to process; and no iteration over a set, whose order comes from hashes.
Types are guessed: from annotations, from assignments, and from the return types of functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import PACKAGE, ROOT, parse, python_files, refuse, short

PLACES = (PACKAGE / "protocol", PACKAGE / "actors", ROOT / "simulation")

EXCEPTIONS = {
    "tocsin/actors/world.py": "the one place that has the machine's clock and entropy",
    "simulation/world/chance.py": "chance from a seed is made here",
    "simulation/world/scheduling.py": "Trio's scheduler is given a seed here",
    "simulation/__main__.py": "tells a person how long it took",
}
MACHINE_MODULES = {"time", "random", "secrets"}
MACHINE_CALLS = {
    *("os.urandom", "urandom", "os.getpid", "trio.to_thread", "id", "hash"),
    *("uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}
ORDER_DOES_NOT_MATTER = {
    *("sorted", "len", "set", "frozenset", "any", "all", "min", "max", "sum", "bool", "isinstance"),
}
ORDER_MATTERS = {
    *("list", "tuple", "iter", "next", "enumerate", "map", "filter", "zip", "reversed"),
    *("dict.fromkeys", "deque", "chain", "islice"),
}
METHODS_IN_ORDER = {"extend", "join", "writelines", "fromkeys"}
METHODS_OF_SETS = {"union", "intersection", "difference", "symmetric_difference", "copy"}
METHODS_OF_DICTS = {"get", "pop", "setdefault"}


def test_no_code_asks_the_machine_for_time_or_chance():
    refuse(
        (
            f"{short(path)}:{line} uses {what}"
            for path in sources()
            for line, what in machine(parse(path))
        ),
        "This differs from run to run; take it from the World, or from the cluster's chance",
    )


def test_no_code_goes_through_a_set():
    trees = {path: parse(path) for path in sources()}
    makers = {name for tree in trees.values() for name in functions_that_give_sets(tree)}
    refuse(
        (
            f"{short(path)}:{line} {what}"
            for path, tree in trees.items()
            for line, what in SetsGoneThrough(tree, makers).found()
        ),
        "The order of a set differs from process to process; sort it, or use a dictionary",
    )


def test_exceptions_are_still_needed():
    for name in EXCEPTIONS:
        path = ROOT / name
        assert list(machine(parse(path))), f"{name} needs no exception any more"


def sources():
    every = [path for place in PLACES for path in python_files(place)]
    return [path for path in every if short(path) not in EXCEPTIONS]


def machine(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and name of each use of a thing that differs from machine to machine."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            names = [ast.unparse(node.func)]
        else:
            continue
        imported = not isinstance(node, ast.Call)
        for name in names:
            if name in MACHINE_CALLS or (imported and name in MACHINE_MODULES):
                yield node.lineno, name


# --- Sets -----------------------------------------------------------------------------------------


def says_set(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'\"").startswith(
        ("set[", "frozenset[", "AbstractSet[", "Set[")
    )


def says_dict_of_sets(annotation: ast.expr | None) -> bool:
    text = "" if annotation is None else ast.unparse(annotation)
    return text.startswith(("dict[", "Mapping[", "defaultdict[")) and ", set[" in text


def functions_that_give_sets(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and says_set(node.returns):
            yield node.name


class SetsGoneThrough:
    """The places in a module where a set is iterated over, by the names that hold sets."""

    def __init__(self, tree: ast.AST, makers: set[str]) -> None:
        self.tree = tree
        self.makers = makers
        self.sets: set[str] = set()
        self.dicts: set[str] = set()
        for node in ast.walk(tree):
            self.learn(node)

    def learn(self, node: ast.AST) -> None:
        match node:
            case ast.AnnAssign(target=target, annotation=annotation):
                self.note(last_name(target), annotation)
            case ast.arg(arg=name, annotation=annotation):
                self.note(name, annotation)
            case ast.Assign(targets=targets, value=value) if self.is_set(value):
                self.sets.update(filter(None, map(last_name, targets)))

    def note(self, name: str | None, annotation: ast.expr | None) -> None:
        if name and says_set(annotation):
            self.sets.add(name)
        if name and says_dict_of_sets(annotation):
            self.dicts.add(name)

    def is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Name() | ast.Attribute():
                return last_name(node) in self.sets
            case ast.Subscript(value=value):
                return last_name(value) in self.dicts
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                return self.is_set(left)
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_set(body) or self.is_set(orelse)
            case ast.Call(func=ast.Name(id=name)):
                return name in ("set", "frozenset") or name in self.makers
            case ast.Call(func=ast.Attribute(value=value, attr=attr)):
                return (
                    (attr in METHODS_OF_SETS and self.is_set(value))
                    or (attr in METHODS_OF_DICTS and last_name(value) in self.dicts)
                    or attr in self.makers
                )
        return False

    def found(self) -> Iterator[tuple[int, str]]:
        harmless = {
            id(argument)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ORDER_DOES_NOT_MATTER
            for argument in node.args
        }
        for node in ast.walk(self.tree):
            if id(node) in harmless or isinstance(node, ast.SetComp):
                continue
            for each in self.gone_through(node):
                yield each.lineno, f"goes through {ast.unparse(each)}"

    def gone_through(self, node: ast.AST) -> Iterator[ast.expr]:
        match node:
            case ast.For(iter=each) | ast.AsyncFor(iter=each) if self.is_set(each):
                yield each
            case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
                yield from (each.iter for each in node.generators if self.is_set(each.iter))
            case ast.Starred(value=each) | ast.YieldFrom(value=each) if self.is_set(each):
                yield each
            case ast.Call(func=ast.Attribute(value=each, attr="pop"), args=[]):
                yield from [each] if self.is_set(each) else []
            case ast.Call(func=function, args=arguments):
                name, attr = ast.unparse(function), getattr(function, "attr", None)
                if name in ORDER_MATTERS or attr in METHODS_IN_ORDER:
                    yield from filter(self.is_set, arguments)


def last_name(node: ast.expr) -> str | None:
    """The last part of a name: `_users` of `self._users`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


# --- The rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "for each in {1, 2}: pass",
        "known: set[str] = set()\n[each for each in known]",
        "class A:\n    def b(self):\n        self.a = set()\n    def c(self): return list(self.a)",
        "users: dict[str, set[str]] = {}\nfor user in users.pop('a', ()): pass",
        "users: dict[str, set[str]] = {}\nlist(users['a'])",
        "def f(known: frozenset[str]):\n    return dict.fromkeys(known)",
        "known = set()\nother = known - {1}\nprint(*other)",
        "known = set()\nknown.pop()",
        "def names() -> set[str]: ...\nfor name in names(): pass",
        "words = {a for a in b}\n','.join(words)",
    ],
)
def test_a_set_that_is_gone_through_is_seen(source):
    tree = ast.parse(source)
    assert list(SetsGoneThrough(tree, set(functions_that_give_sets(tree))).found())


@pytest.mark.parametrize(
    "source",
    [
        "known: set[str] = set()\nfor each in sorted(known): pass",
        "known: set[str] = set()\nif 'a' in known: known.add('b')",
        "known = {1}\nany(each > 1 for each in known)",
        "known = {1}\nless = {each - 1 for each in known}",
        "known: dict[str, None] = {}\nfor each in known: pass\nknown.pop('a')",
        "users: dict[str, set[str]] = {}\nfor user in users: users[user].add('a')",
    ],
)
def test_a_loop_over_an_ordered_value_is_left_alone(source):
    tree = ast.parse(source)
    assert not list(SetsGoneThrough(tree, set(functions_that_give_sets(tree))).found())


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from random import random",
        "key = hash(name)",
        "import os\nos.urandom(4)",
        "from uuid import uuid4",
        "datetime.now()",
    ],
)
def test_a_question_to_the_machine_is_seen(source):
    assert list(machine(ast.parse(source)))
