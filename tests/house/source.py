"""Our own source, read for the rules of the house."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "tocsin"
FOLDERS = (
    *("tocsin", "clients", "simulation", "servers", "cluster", "bench", "demo", "release"),
    *("deploy", "tests"),
)
CLIENT = "tocsin_client"
"""The package of the Python client, which stands in clients/python and is shipped by itself."""


def refuse(found: Iterable[str], rule: str) -> None:
    if listed := sorted(found):
        pytest.fail("\n  ".join([f"{rule}:", *listed]), pytrace=False)


def refuse_beyond(still: Set[str], found: Iterable[str], rule: str) -> None:
    """As `refuse`, but for the places that are *still* known to break the rule: that list only
    shrinks. Each one *found* is a place, or `place: what is wrong there`.
    """
    listed = list(found)
    places = {each.partition(": ")[0] for each in listed}
    if mended := sorted(still - places):
        text = "\n  ".join(["These keep the rule now; strike them out of the list:", *mended])
        pytest.fail(text, pytrace=False)
    refuse({each for each in listed if each.partition(": ")[0] not in still}, rule)


def python_files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.py"))


def our_python() -> list[Path]:
    return [ROOT / "dev", *(path for each in FOLDERS for path in python_files(ROOT / each))]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text_of(path: Path) -> str:
    return path.read_text()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(text_of(path), str(path))


def has_code(tree: ast.Module) -> bool:
    """Whether there is more in it than a docstring."""
    return any(not isinstance(node, ast.Expr) for node in tree.body)


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_of(path: Path) -> Iterator[Function]:
    return (each for each in ast.walk(parse(path)) if isinstance(each, Function))


# --- modules and their imports --------------------------------------------------------------------


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if CLIENT in parts:
        parts = parts[parts.index(CLIENT) :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """The line and name of each module of ours that is imported, also where only types are."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imports(parse(path), package)


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, package)
            names = [deepest_module(base, alias.name) for alias in node.names]
        elif isinstance(node, ast.Call):
            names = imported_by_name(node)
        else:
            continue
        for name in names:
            if name.split(".")[0] in (*FOLDERS, CLIENT):
                yield node.lineno, name


def imported_by_name(call: ast.Call) -> list[str]:
    """The module that `import_module("…")` asks for, which is an import as well."""
    match call:
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
            is_import = ast.unparse(function).endswith(("import_module", "__import__"))
            return [name] if is_import else []
        case _:
            return []


def absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) + 1 - node.level], *filter(None, [node.module])])


def deepest_module(base: str, name: str) -> str:
    """`from base import name` may name a module or something inside one."""
    path = ROOT.joinpath(*base.split("."), name)
    return f"{base}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else base
