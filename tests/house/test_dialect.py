"""All rooms are written in one dialect: the table in docs/style.md, as far as a machine sees it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house.source import (
    CLIENT,
    FOLDERS,
    PACKAGE,
    ROOT,
    Function,
    functions_of,
    has_code,
    our_python,
    parse,
    python_files,
    refuse,
    short,
    text_of,
)

LOGGING_HOMES = {"tocsin/logs.py", "simulation/world/logs.py", "tests/test_logs.py"}
"""Where what libraries log is turned into lines of ours, and the tests of that."""
FRONT_PAGES = {"tocsin_client"}
"""Packages for the programs of others, which are to import from one place."""
ERROR_NAMES_REFUSED = {"exc", "e", "err", "ex"}
EVENTS_OF_CALLERS = {"tocsin/actors/reasons.py", "tocsin/actors/cluster/complaints.py"}
"""Modules that log an event which their caller names."""
TWO_BACKTICKS = re.compile(r"(?<!`)``(?!`)")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def test_only_structlog_writes_log_lines():
    refuse(
        (
            short(path)
            for path in our_python()
            if short(path) not in LOGGING_HOMES and imports_logging(parse(path))
        ),
        "Log with structlog: a fixed event, and keys with values",
    )


def test_the_event_of_a_log_line_is_a_fixed_text():
    refuse(
        (
            f"{short(path)}:{line}"
            for path in product_and_tools()
            if short(path) not in EVENTS_OF_CALLERS
            for line in events_made_up(parse(path))
        ),
        "An event is one text, by which operators look for it; what differs is a key with a value",
    )


def test_a_caught_error_is_called_error():
    refuse(
        (
            f"{short(path)}: as {node.name}"
            for path in our_python()
            for node in ast.walk(parse(path))
            if isinstance(node, ast.ExceptHandler) and node.name in ERROR_NAMES_REFUSED
        ),
        "Call it `error`, or what it is: `refusal`, `group`",
    )


def test_imports_are_absolute():
    refuse(
        (
            short(path)
            for path in our_python()
            for node in ast.walk(parse(path))
            if isinstance(node, ast.ImportFrom) and node.level
        ),
        "Import by the whole name: a grep for it finds all its users",
    )


def test_names_are_imported_from_the_module_that_defines_them():
    refuse(
        (
            f"{short(path)}:{line} imports {name} from {module}"
            for path in our_python()
            for line, module, name in imported_names(parse(path))
            if (source := source_of(module)) is not None and name not in names_in(source)
        ),
        "Import it from where it is defined: a second way to a name hides the first from a grep",
    )


def test_annotations_are_not_evaluated():
    refuse(
        (
            short(path)
            for path in product_and_tools()
            if has_code(parse(path)) and not imports_future(parse(path))
        ),
        "Begin with `from __future__ import annotations`",
    )


def test_parameters_are_marked_with_stars_in_prose():
    refuse(
        (
            f"{short(path)}: {name} of {owner.name}"
            for path in product_and_tools()
            for owner in ast.walk(parse(path))
            if isinstance(owner, Function | ast.ClassDef)
            for name in quoted_parameters(owner)
        ),
        "In a docstring a parameter is *name*; `name` is code of elsewhere",
    )


def test_code_in_prose_has_one_backtick():
    refuse(
        (
            f"{short(path)} {owner.name}"
            for path in product_and_tools()
            for owner in ast.walk(parse(path))
            if isinstance(owner, Function | ast.ClassDef)
            if TWO_BACKTICKS.search(ast.get_docstring(owner) or "")
        ),
        "Code of elsewhere is `name`, with one backtick",
    )


def test_reasons_stand_below_constants_or_behind_them():
    refuse(
        (
            f"{short(path)}:{number}"
            for path in our_python()
            for number, line in enumerate(text_of(path).splitlines(), 1)
            if line.lstrip().startswith("#" + ":")
        ),
        "The reason of a constant is a string below it, or a short comment behind it",
    )


def test_no_match_passes_over_what_it_does_not_know():
    refuse(
        (
            f"{short(path)} {function.name}"
            for path in python_files(PACKAGE)
            for function in functions_of(path)
            for node in ast.walk(function)
            if isinstance(node, ast.Match) and passes_over(node)
        ),
        "Name the cases that need nothing, and end with `assert_never`: no new one is overlooked",
    )


def test_mypy_looks_for_open_matches():
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert mypy["strict"]
    assert "exhaustive-match" in mypy["enable_error_code"]
    assert {*FOLDERS, "dev", CLIENT} - {"clients", "deploy"} == set(mypy["files"])


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "is_seen"),
    [
        ("import logging", True),
        ("from logging import getLogger", True),
        ("import logging.handlers", True),
        ("from tocsin import logs", False),
    ],
)
def test_logging_is_seen(source, is_seen):
    assert imports_logging(ast.parse(source)) is is_seen


def test_the_names_that_a_module_defines_are_seen():
    source = (
        "import a\nfrom b import c\nD = 1\nE: int = 2\ndef f(): g = 1\nclass H: i = 1\nif a: J = 1"
    )
    assert defined_names(ast.parse(source)) == {"D", "E", "f", "H", "J"}


@pytest.mark.parametrize(
    "source",
    [
        'def f(self, one, two, *, three):\n    """`one`, ``two``, *three* and `four`."""',
        'def f(*one, **two):\n    """`one`, *two*."""',
        'class A:\n    """`one`."""\n    def __init__(self, one): ...',
    ],
)
def test_quoted_parameters_are_seen(source):
    [owner] = ast.parse(source).body
    assert isinstance(owner, ast.FunctionDef | ast.ClassDef)
    assert list(quoted_parameters(owner)) == ["one"]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('logger.info("node started", port=port)', []),
        ('logger.info(f"node {name} started")', [1]),
        ('logger.info("node %s started", name)', [1]),
        ('self._logger.info("node " + name)', [1]),
        ('log = logger.info if a else logger.error\nlog("node " + name)', [2]),
        ('table.info("node " + name)', []),
    ],
)
def test_events_that_are_made_up_are_seen(source, lines):
    assert list(events_made_up(ast.parse(source))) == lines


@pytest.mark.parametrize(
    ("last", "passes"),
    [
        *(("pass", True), ("...", True), ("return", True), ("continue", True)),
        *(("assert_never(x)", False), ("return 1", False)),
    ],
)
def test_a_match_that_passes_over_is_seen(last, passes):
    [match] = ast.parse(f"match x:\n    case 1: f()\n    case _: {last}").body
    assert isinstance(match, ast.Match)
    assert passes_over(match) is passes


# --- how they look --------------------------------------------------------------------------------


def product_and_tools() -> list[Path]:
    return [path for each in FOLDERS if each != "tests" for path in python_files(ROOT / each)]


def imported_names(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Each name that is imported from a module: the line, the module, the name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def source_of(module: str) -> Path | None:
    """The file of *module*, if it is one of ours that is no front page."""
    if module in FRONT_PAGES:
        return None
    path = ROOT.joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in files if each.exists()), None)


@cache
def names_in(source: Path) -> frozenset[str]:
    """The names that *source* defines, and the modules beside it if it is a package's."""
    beside = source.parent.iterdir() if source.name == "__init__.py" else ()
    return frozenset(defined_names(parse(source)) | {each.stem for each in beside})


def defined_names(tree: ast.Module | ast.If) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.If():
                found |= defined_names(node)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Assign(targets=targets):
                names = (each for target in targets for each in ast.walk(target))
                found |= {each.id for each in names if isinstance(each, ast.Name)}
            case _:
                pass
    return found


def events_made_up(tree: ast.Module) -> Iterator[int]:
    """The lines that log another event than one fixed text."""
    levels = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "logger." in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[*given]) if name in levels:
                pass
            case ast.Call(func=ast.Attribute(value=owner, attr=name), args=[*given]) if (
                name in LEVELS and ast.unparse(owner).endswith("logger")
            ):
                pass
            case _:
                continue
        is_fixed = len(given) == 1 and isinstance(given[0], ast.Constant)
        if not is_fixed:
            yield node.lineno


def imports_logging(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        if any(name.split(".")[0] == "logging" for name in names):
            return True
    return False


def imports_future(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    )


def quoted_parameters(owner: Function | ast.ClassDef) -> Iterator[str]:
    """Parameters of *owner*, or of a class' `__init__`, that its docstring marks as code."""
    text = ast.get_docstring(owner) or ""
    makers = owner.body if isinstance(owner, ast.ClassDef) else [owner]
    for function in makers:
        if isinstance(function, Function) and function.name in ("__init__", owner.name):
            taken = function.args
            rest = (each for each in (taken.vararg, taken.kwarg) if each is not None)
            for each in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs, *rest):
                if re.search(rf"(?<!`)`{each.arg}`(?!`)", text):
                    yield each.arg


def passes_over(match: ast.Match) -> bool:
    last = match.cases[-1]
    is_wildcard = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
    told = [ast.unparse(each) for each in last.body]
    return is_wildcard and set(told) <= {"pass", "...", "return", "continue"}
