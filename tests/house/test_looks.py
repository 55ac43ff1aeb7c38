"""How every file looks, as far as a machine can see it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from release.tree import source_files
from tests.house.patterns import SECONDS_MAX, Pattern, patterns_of, slow_texts, troubles
from tests.house.source import PACKAGE, ROOT, our_python, parse, python_files, refuse, short

IMPURE_MODULES = {
    *("asyncio", "trio", "threading", "time", "random", "secrets"),
    *("os", "socket", "subprocess"),
}
IMPURE_CALLS = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4"),
}

BINARY = {".png", ".ico", ".zip", ".db", ".gz"}
"""Endings of files whose bytes are no lines."""
MARK = re.compile(rb"(<{7}|={7}|>{7}|\|{7})( .*)?")

STARTS = re.compile(r"(\bChild|\bspawn|_spawn|\bspawn_prompt|_spawn_prompt)$")
"""The functions that are given a child's factory."""


def test_the_protocol_is_pure():
    refuse(
        (
            f"{short(path)}:{line} uses {what}"
            for path in python_files(PACKAGE / "protocol")
            for line, what in impurities(parse(path))
        ),
        "The protocol has no clock, no chance and no I/O; take the value as a parameter",
    )


def test_children_are_made_anew_by_their_factories():
    refuse(
        (
            f"{short(path)}:{line}"
            for path in python_files(PACKAGE)
            for line in handed_back(path.read_text())
        ),
        "A factory makes each incarnation; what is to survive a crash is a table that it is given",
    )


def test_no_file_has_the_marks_of_a_merge():
    refuse(
        (
            f"{name}:{number}"
            for name in source_files()
            if (ROOT / name).suffix not in BINARY
            for number in marks_of_a_merge((ROOT / name).read_bytes())
        ),
        "A merge was not finished there",
    )


def test_a_test_that_runs_alone_is_marked_in_its_own_file():
    refuse(
        (
            short(path)
            for path in (ROOT / "tests").rglob("*.py")
            if not path.name.startswith("test_") and "pytest.mark.alone" in path.read_text()
        ),
        "`./dev test` looks for such tests in the files named test_… alone",
    )


def test_a_mark_for_later_has_an_issue():
    refuse(
        (
            f"{short(path)}:{line} {text}"
            for path in our_python()
            for line, text in comments(path)
            if is_unfinished(text)
        ),
        'A mark for later needs an issue: write "issue 12" beside it, or do it now',
    )


def test_no_test_sleeps_without_saying_what_for():
    refuse(
        (
            f"{short(path)}:{line}"
            for path in python_files(ROOT / "tests")
            for line in unexplained_sleeps(path.read_text())
        ),
        "A test waits for the thing itself, not for a while. Where only a while will do, "
        'say why on the same line: "# waits for: ..."',
    )


def test_nothing_is_raised_where_groups_are_split():
    """Releases of 3.11 hand out what is raised in `except*` within a group; re-raising is fine."""
    refuse(
        (
            f"{short(path)}:{line}"
            for path in our_python()
            for line in raised_in_splitting(path.read_text())
        ),
        "What is raised in `except*` may come out in a group; catch the group and look into it",
    )


def test_no_pattern_can_take_longer_than_its_text_is_long():
    refuse(
        (
            f"{pattern.where} {pattern.text!r} has {trouble}"
            for pattern in patterns()
            for trouble in troubles(pattern.text, pattern.flags)
        ),
        "Matching goes back and tries again, and a peer chooses the text. Split, strip and one "
        "class of characters will do",
    )


def test_every_pattern_is_quick_on_64_kib_that_it_nearly_matches():
    refuse(
        (
            f"{pattern.where} takes {seconds:.2f} s for {text[:40]!r}…"
            for pattern in patterns()
            for text, seconds in slow_texts(pattern)
        ),
        f"A pattern has {SECONDS_MAX} s for 64 KiB, whatever they are",
    )


def test_requirements_name_no_addresses():
    address = re.compile(r"://|^\s*(-i|-f|--(index-url|extra-index-url|find-links|trusted-host))\b")
    refuse(
        (
            f"{short(path)}:{number} {line}"
            for path in (ROOT / "requirements").iterdir()
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if address.search(line)
        ),
        "Where packages come from is the business of the machine that installs them",
    )


def test_every_dependency_is_argued_for():
    told = (ROOT / "docs" / "dependencies.md").read_text()
    refuse(
        (
            name
            for kind in ("run", "dev", "rabbitmq", "kafka")
            for name in requirement_names(ROOT / "requirements" / f"{kind}.in")
            if f"`{name}`" not in told
        ),
        "docs/dependencies.md needs a line that says what it is for and why this one",
    )


def test_the_lock_for_development_contains_the_lock_for_running():
    running, development = (
        set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("run.txt", "dev.txt")
    )
    refuse(running - development, "The locks are out of step; run ./dev lock")


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from random import random",
        "import trio.lowlevel",
        "def f():\n    import asyncio",
        "now = datetime.datetime.now(UTC)",
        "id = uuid.uuid4()",
        "from uuid import uuid4",
    ],
)
def test_impurities_are_seen(source):
    assert list(impurities(ast.parse(source)))


@pytest.mark.parametrize("source", ["import uuid", "now = session.now()", "from math import inf"])
def test_pure_code_is_left_alone(source):
    assert not list(impurities(ast.parse(source)))


@pytest.mark.parametrize(
    ("source", "is_seen"),
    [
        ('tree.spawn("users", lambda: users)', True),
        ('Child("users", lambda: self._users, stopped_by=0.5)', True),
        ("tree.spawn_prompt(name, factory=lambda: actor)", True),
        ('tree.spawn("users", lambda: Users(table))', False),
        ('tree.spawn("users", UsersKeeper)', False),
        ("sorted(names, key=lambda: users)", False),
        ("tree.spawn('users', partial(lambda: users))", True),
        ("tree.spawn('users', self._make)\ndef _make(self): return self._users", True),
        ("tree.spawn('users', self._make)\ndef _make(self): return Users(self._table)", False),
    ],
)
def test_factories_that_hand_back_the_same_object_are_seen(source, is_seen):
    assert list(handed_back(source)) == [1] * is_seen


def test_marks_of_a_merge_are_seen():
    text = b"a\n<<<<<<< ours\nb\n=======\nc\n>>>>>>> theirs\n======== a line of rst\n"
    assert list(marks_of_a_merge(text)) == [2, 4, 6]


def test_an_error_raised_in_splitting_is_seen():
    source = "try:\n    f()\nexcept* OSError:\n    if x:\n        raise Y from None\n    raise\n"
    assert list(raised_in_splitting(source)) == [5]
    assert not list(raised_in_splitting(source.replace("except*", "except")))


def test_sleeps_are_seen_unless_explained():
    source = "time.sleep(1)\nawait trio.sleep(\n    1\n)  # waits for: the kernel\nsleep(2)\n"

    assert list(unexplained_sleeps(source)) == [1, 5]


@pytest.mark.parametrize(
    ("pattern", "is_trouble"),
    [
        ("(a+)+", True),
        ("(a?b?)*", True),
        ("(?:[a-z]+-?)*", True),
        (".*,.*", True),
        (r"[ \t]*([\t -~]*?)[ \t]*", True),
        (r"\w+(\d+)x", True),
        (r"(?:a*|b)[a-z]*", True),
        ("(?i:a+)A+", True),
        (r"[^/]*\d?[a-z]*", True),
        (r"\s*(?!x)\s*", True),
        (r"[^a]*[^b]*", True),
        (r"[\w-]+\.[\w-]+", False),
        ("a+b+a+", False),
        ("[a-z]{1,64}[a-z]{1,64}", False),
        ("a++a", False),
        ("(?:abc)*", False),
        (rb"[0-9]+[a-z]*", False),
        (r"\d+\s*", False),
    ],
)
def test_repeats_that_share_characters_are_seen(pattern, is_trouble):
    assert bool(troubles(pattern)) is is_trouble


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"\beyJ[\w-]+\.[\w-]+", "search"),
        (r"[ \t]*([\t -~]*?)[ \t]*", "fullmatch"),
        (r"<[^>]*>", "search"),
        ("[a-z]+:", "search"),
    ],
)
def test_slow_patterns_are_found_by_hostile_texts(pattern, method):
    assert list(slow_texts(Pattern("here", pattern, 0, frozenset({method})), length=32_768))


# --- how they look --------------------------------------------------------------------------------


def patterns() -> Iterator[Pattern]:
    for path in python_files(PACKAGE):
        yield from patterns_of(path)


def impurities(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute | ast.Name):
            names = [".".join(ast.unparse(node).split(".")[-2:])]
        else:
            continue
        imported = isinstance(node, ast.Import | ast.ImportFrom)
        for name in names:
            if name in IMPURE_CALLS or (imported and name.split(".")[0] in IMPURE_MODULES):
                yield node.lineno, name


def comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def is_unfinished(comment: str) -> bool:
    # Written so that this line is no mark itself.
    marked = re.search(r"\b(TO(?=DO)|FIX(?=ME)|X(?=XX))", comment)
    return bool(marked) and not re.search(r"\bissue #?\d+", comment)


def unexplained_sleeps(source: str) -> Iterator[int]:
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            *("time.sleep", "trio.sleep", "sleep"),
        ):
            span = lines[node.lineno - 1 : node.end_lineno]
            if not any("# waits for:" in line for line in span):
                yield node.lineno


def raised_in_splitting(source: str) -> Iterator[int]:
    for splitting in ast.walk(ast.parse(source)):
        if isinstance(splitting, ast.TryStar):
            for handler in splitting.handlers:
                for node in ast.walk(handler):
                    if isinstance(node, ast.Raise) and node.exc is not None:
                        yield node.lineno


def handed_back(source: str) -> Iterator[int]:
    """The lines where a child's factory, a lambda or a method of the module, makes nothing."""
    tree = ast.parse(source)
    makers = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and STARTS.search(ast.unparse(node.func)):
            for argument in (*node.args, *(each.value for each in node.keywords)):
                if isinstance(given_back(argument, makers), ast.Name | ast.Attribute):
                    yield argument.lineno


def given_back(factory: ast.expr, makers: Mapping[str, ast.FunctionDef]) -> ast.expr | None:
    """The expression that is all of *factory*; one of *makers*, or a `partial` of it."""
    match factory:
        case ast.Lambda(body=body):
            return body
        case ast.Call(func=ast.Name(id="partial"), args=[wrapped, *_]):
            return given_back(wrapped, makers)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in makers:
            match makers[name].body:
                case [ast.Return(value=value)] | [ast.Expr(), ast.Return(value=value)]:
                    return value
                case _:
                    return None
        case _:
            return None


def marks_of_a_merge(content: bytes) -> Iterator[int]:
    for number, line in enumerate(content.splitlines(), 1):
        if MARK.fullmatch(line):
            yield number


def requirement_names(path: Path) -> list[str]:
    return re.findall(r"^[A-Za-z][A-Za-z0-9._-]*", path.read_text(), re.MULTILINE)
