"""The imports that rooms may make.

Between the packages of the product: node, trunk, wiring and cli stand above the rooms and see
everything; server sees actors; both see the ports of persistence and never an adapter; all see
protocol; and protocol sees nothing of ours. Within a package its rooms stand in one line, and a
module imports from its own room and from those behind it. The tools around the product see it, and
none of them the tests. The Python client sees nothing but itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Set

import pytest

from release.tree import source_files
from tests.house.source import (
    CLIENT,
    FOLDERS,
    PACKAGE,
    ROOT,
    imports,
    imports_of,
    module_name,
    python_files,
    refuse,
    short,
)

# Module -> what it and its submodules may import, without the leading "tocsin.". The longest name
# that fits decides.
SEES = {
    "protocol": {"protocol"},
    "persistence": {"persistence", "protocol"},
    "actors.runtime": {"actors.runtime"},
    "actors": {
        *("actors", "protocol", "persistence.store", "persistence.bus"),
        *("persistence.sink", "persistence.source"),
    },
    "server": {
        *("server", "actors", "protocol"),
        *("persistence.store", "persistence.bus", "persistence.source", "persistence.sink"),
    },
}
ABOVE = {
    *("node", "trunk", "wiring", "connecting", "sinks", "stores"),
    *("broker_access", "cli", "__main__"),
}
# A module that is neither in a room nor above them, such as settings, may import its like and this.
BESIDE_SEES = {"protocol"}

LINES = {
    "tocsin.cli": ("serving", "upkeep", "operators", "clients"),
    "tocsin.actors": (
        *("cluster", "publishing", "escalation", "spool", "sinks", "tracing", "delivery"),
        *("storage", "runtime"),
    ),
    "tocsin.persistence": (
        *("brokers", "sqlite", "postgres", "redis", "upkeep"),
        *("migrations", "scripts", "bus", "store"),
    ),
    "tocsin.persistence.scripts": ("topics", "logs"),
    "tocsin.protocol": (
        *("cluster", "delivery", "frames", "receipts", "notifications", "channels", "log"),
    ),
    "tocsin.server": (
        *(
            "api",
            "metrics",
            "websocket",
            "follow",
            "ingest",
            "producing",
            "door",
            "http",
            "admission",
            "auth",
        ),
    ),
    "tocsin.server.api": ("specs", "operators"),
    "simulation": ("bugs", "runs", "checks", "faults", "clients", "world"),
    "simulation.checks": ("notifications", "devices", "nodes", "known"),
}
"""Package -> its rooms in their line: none imports from one before it. A module in no room is
seen by all, and sees the rooms that `FLOORS` names."""
FLOORS = {
    "tocsin.cli": set[str](),
    "tocsin.actors": {"runtime"},
    "tocsin.persistence": set[str](),
    "tocsin.persistence.scripts": {"topics", "logs"},
    "tocsin.protocol": set[str](),
    "tocsin.server": {"admission", "auth"},
    "tocsin.server.api": {"specs", "operators"},
    "simulation": {"bugs", "runs", "checks", "faults", "clients", "world"},
    "simulation.checks": {"notifications", "devices", "nodes", "known"},
}
TOOLS = {
    "simulation": {"tocsin", "simulation"},
    "servers": {"tocsin", "servers"},
    "cluster": {"tocsin", "servers", "cluster"},
    "demo": {"tocsin", "servers", "demo", CLIENT},
    "bench": {"tocsin", "servers", "cluster", "bench"},
    "release": {"servers", "release"},
    "deploy": set[str](),
    "clients": {CLIENT},
}
CLIENTS_USERS = {"client", "cli"}
"""The modules of the product that are clients themselves; a node has no need of one."""


def test_imports_follow_the_directions():
    refuse(
        (f"{where} imports tocsin.{target}" for where, target in forbidden_imports()),
        "A room imports what it must not see; move the code, or pass the value in from node.py",
    )


def test_the_rooms_of_a_package_stand_in_one_line():
    refuse(
        (
            f"{short(path)}:{line} imports {target}"
            for package in LINES
            for path in python_files(ROOT.joinpath(*package.split(".")))
            for line, target in imports_of(path)
            if turns_back(package, module_name(path), target)
        ),
        "A room imports from one that stands before it in the line",
    )


def test_no_room_is_left_out_of_the_line():
    for package, rooms in LINES.items():
        folder = ROOT.joinpath(*package.split("."))
        there = {each.name for each in folder.iterdir() if (each / "__init__.py").exists()}
        assert there == set(rooms), package


def test_tools_see_the_product_and_no_tests():
    refuse(
        (
            f"{short(path)}:{line} imports {target}"
            for tool, seen in TOOLS.items()
            for path in python_files(ROOT / tool)
            for line, target in imports_of(path)
            if target.split(".")[0] not in seen
        ),
        "What users start does not stand on the tests",
    )


def test_no_folder_with_python_stands_beside_the_rules():
    folders = {each.parts[0] for each in source_files() if each.suffix == ".py"}
    # In a source archive the link to the client has become a folder.
    refuse(folders - set(FOLDERS) - {CLIENT}, "Say in `source.FOLDERS` that it is ours")
    refuse(set(FOLDERS) - {"tocsin", "tests"} - set(TOOLS), "Say in `TOOLS` what it may import")


def test_only_the_commands_use_the_client_s_package():
    refuse(
        (
            f"{short(path)}:{line} imports {target}"
            for path in python_files(PACKAGE)
            for line, target in imports_of(path)
            if is_within(target, [CLIENT])
            and not is_within(module_name(path).partition(".")[2], CLIENTS_USERS)
        ),
        "A node serves without the client; only the commands speak to a node as one",
    )


def test_no_imports_go_round_in_a_circle():
    graph = {
        module_name(path): {target for _, target in imports_of(path)}
        for folder in FOLDERS
        if folder != "tests"
        for path in python_files(ROOT / folder)
    }
    refuse(
        (" > ".join(each) for each in circles(graph)),
        "Modules import each other, also if only for types; move what both need into a third",
    )


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("protocol.session", "protocol.cursor", True),
        ("protocol.session", "persistence.store", False),
        ("persistence.sqlite.store", "protocol.cursor", True),
        ("persistence.sqlite.store", "actors.user", False),
        ("actors.user", "persistence.store", True),
        ("actors.user", "persistence.sqlite", False),
        ("actors.user", "persistence", False),
        ("actors.user", "server.auth", False),
        ("actors.runtime.ref", "actors.user", False),
        ("actors.runtime.ref", "protocol.cursor", False),
        ("server.http", "actors.user", True),
        ("server.http", "persistence.store.commands", True),
        ("server.http", "persistence.storehouse", False),
        ("server.http", "settings", False),
        ("settings", "protocol.backoff", True),
        ("settings", "server.http", False),
        ("settings", "node", False),
        ("node", "persistence.postgres", True),
        ("cli.serving.serve", "node", True),
    ],
)
def test_imports_between_rooms_are_judged(importer, target, allowed):
    assert may_import(importer, target) is allowed


def test_relative_imports_are_resolved():
    tree = ast.parse("from . import a\nfrom .b import c\nfrom ..protocol import Anything")

    assert [name for _, name in imports(tree, package="tocsin.actors")] == [
        "tocsin.actors",
        "tocsin.actors.b",
        "tocsin.protocol",
    ]


def test_an_import_by_name_is_seen():
    tree = ast.parse('importlib.import_module("tocsin.server.http")\nf("tocsin.node")')

    assert list(imports(tree, package="tocsin")) == [(1, "tocsin.server.http")]


@pytest.mark.parametrize(
    ("importer", "target", "back"),
    [
        ("storage.ledger", "delivery.user", True),
        ("delivery.user", "storage.ledger", False),
        ("delivery.user", "delivery.device", False),
        ("delivery.user", "world", False),
        ("world", "runtime.ref", False),
        ("world", "delivery.user", True),
    ],
)
def test_an_import_that_turns_back_is_seen(importer, target, back):
    package = "tocsin.actors"
    assert turns_back(package, f"{package}.{importer}", f"{package}.{target}") is back


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": set[str]()}
    assert list(circles(graph)) == [["a", "b", "c", "a"]]


# --- how they look --------------------------------------------------------------------------------


def forbidden_imports() -> Iterator[tuple[str, str]]:
    for path in python_files(PACKAGE):
        module = module_name(path).partition(".")[2]
        for line, target in imports_of(path):
            head, _, inside = target.partition(".")
            if head == "tocsin" and not may_import(module, inside):
                yield f"{short(path)}:{line}", inside


def may_import(importer: str, target: str) -> bool:
    if target == "" or is_within(importer, ABOVE):  # "" is the package itself: its version
        return True
    room = max((each for each in SEES if is_within(importer, [each])), key=len, default=None)
    if room is not None:
        return is_within(target, SEES[room])
    beside = not is_within(target, [*SEES, *ABOVE])
    return beside or is_within(target, BESIDE_SEES)


def is_within(module: str, places: Iterable[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def turns_back(package: str, importer: str, target: str) -> bool:
    """Whether *importer*, of *package*, imports from a room of it that it must not see."""
    here, there = room(package, importer), room(package, target)
    if there is None or here == there:
        return False
    if here is None:
        return there not in FLOORS[package]
    line = LINES[package]
    return line.index(there) < line.index(here)


def room(package: str, module: str) -> str | None:
    """The room of *package* in which *module* stands, if it stands in one."""
    inside = module.removeprefix(f"{package}.").split(".")[0]
    return inside if module.startswith(f"{package}.") and inside in LINES[package] else None


def circles(graph: Mapping[str, Set[str]]) -> Iterator[list[str]]:
    """For each set of modules that reach each other one way round, from and to its first name.

    Tarjan, "Depth-first search and linear graph algorithms" (1972), without recursion: here by
    what a module reaches, which is quick enough for some hundred of them.
    """
    reached = {each: _reach(graph, each) for each in graph}
    told: set[str] = set()
    for module in sorted(graph):
        if module in reached[module] and module not in told:
            told |= {each for each in reached[module] if module in reached.get(each, ())}
            yield _way_back(graph, module)


def _reach(graph: Mapping[str, Set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = [*graph[start]]
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead += graph.get(module, ())
    return found


def _way_back(graph: Mapping[str, Set[str]], start: str) -> list[str]:
    """A shortest way from *start* to itself."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:  # grows
        for module in sorted(graph.get(way[-1], ())):
            if module == start:
                return [*way, start]
            if module not in seen:
                seen.add(module)
                ways.append([*way, module])
    raise AssertionError(f"{start} does not reach itself")
