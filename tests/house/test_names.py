"""A public class has a name of its own, and what is declared is used."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import pytest

from tests.house.source import (
    FOLDERS,
    PACKAGE,
    ROOT,
    Function,
    module_name,
    parse,
    python_files,
    refuse,
    short,
    text_of,
)

AS_THE_CONTRACT_NAMES_THEM = (
    "tocsin.server.api.answers",
    "tocsin.protocol.frames.frames",
    "tocsin.client.",
)
"""Modules whose documents and frames have the names that openapi.json, asyncapi.json and
docs/protocol.md use."""

CALLED_BY_NAME = {
    *("connection_made", "connection_lost", "data_received", "eof_received"),
    *("pause_writing", "resume_writing", "get_command", "format_commands"),
    "_get_unique_id",
    *("on_partitions_revoked", "on_partitions_assigned"),
}
"""Methods that asyncio, click, asyncpg and aiokafka call on objects which we hand them."""
NO_HELPERS = {"tests/other_pythons.py"}
"""Programs of their own among the tests."""
PLAIN = {
    *("property", "staticmethod", "classmethod", "cached_property", "override", "cache"),
    *("dataclass", "asynccontextmanager", "contextmanager", "lru_cache", "final", "total_ordering"),
}
"""Decorators that call nothing by themselves."""


def test_no_two_modules_have_a_public_class_of_one_name():
    homes: dict[str, list[str]] = defaultdict(list)
    for path in python_files(PACKAGE):
        if module_name(path).startswith(AS_THE_CONTRACT_NAMES_THEM):
            continue
        for node in parse(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module_name(path))
    refuse(
        (f"{name}: in {', '.join(found)}" for name, found in homes.items() if len(found) > 1),
        "Two things have one name: a reader of one line, or a grep, cannot tell which",
    )


def test_the_helpers_of_a_room_are_its_kits():
    refuse(
        (
            short(path)
            for path in python_files(ROOT / "tests")
            if not re.fullmatch(r"test_\w+|\w+_kit|conftest|__init__", path.stem)
            if short(path) not in NO_HELPERS and path.parent.name != "house"
        ),
        "Call it <room>_kit.py: a reader sees at the import that it is no test and no product",
    )


def test_declarations_are_used():
    """By the product or its tools: what only tests use is dead as well."""
    users = [path for each in FOLDERS if each != "tests" for path in python_files(ROOT / each)]
    used = Counter(word for path in users for word in words(text_of(path)))
    refuse(
        (
            f"{short(path)} {name}"
            for path in python_files(PACKAGE)
            for name in unused(parse(path), used)
        ),
        "Nothing but tests uses it: take it away",
    )


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "dead"),
    [
        ("def f(): ...\nf()", []),
        ("def f(): ...", ["f"]),
        ("class A:\n    def m(self): ...\nA()", ["A.m"]),
        ("class A:\n    def m(self): ...\nA().m()", []),
        ("class A:\n    def __len__(self): ...\nA()", []),
        ("@command\ndef f(): ...", []),
        ("@property\ndef f(): ...", ["f"]),
        ("A = 3", ["A"]),
        ("A = 3\nprint(A)", []),
        ("def f(): ...\ng = 'f'\nprint(g)", ["f"]),
    ],
)
def test_dead_declarations_are_seen(source, dead):
    assert list(unused(ast.parse(source), Counter(words(source)))) == dead


# --- how they look --------------------------------------------------------------------------------


def words(text: str) -> Iterator[str]:
    """The names in *text* where they are used: not behind `def` and `class`, nor imported."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.MatchClass(kwd_attrs=names):
                yield from names
            case _:
                pass


def unused(tree: ast.Module, used: Mapping[str, int]) -> Iterator[str]:
    for owner, node in declarations(tree):
        for name in names_of(node):
            is_special = name.startswith("__") or name in CALLED_BY_NAME
            if not is_special and not used.get(name):
                yield f"{owner}{name}"


def declarations(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The names at the top of a module, and the methods of its classes."""
    for node in tree.body:
        yield "", node
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.", each) for each in node.body if isinstance(each, Function))


def names_of(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            # A decorator other than these hands it to something that calls it.
            if all(ast.unparse(each).split("(")[0] in PLAIN for each in node.decorator_list):
                yield node.name
        case ast.Assign(targets=targets):
            yield from (each.id for each in targets if isinstance(each, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _:
            pass
