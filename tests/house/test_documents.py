"""Documents name modules that exist, modules have tests, and commits have short subjects."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house.source import (
    FOLDERS,
    PACKAGE,
    ROOT,
    has_code,
    imports_of,
    module_name,
    parse,
    python_files,
    refuse,
    refuse_beyond,
    short,
)

SUBJECT_CHARACTERS_MAX = 72
"""The width that `git log --oneline` has in a terminal of 80 columns."""
SUBJECTS_BEGIN = "822f583"
"""The last commit before subjects were held to that; what is older is left as it is."""

HELD_BY = {
    "tests/test_connecting.py": ("broker_access",),
    "tests/actors/test_cluster*.py": (
        *("actors.cluster.canary", "actors.cluster.disconnections", "actors.cluster.freshness"),
        "actors.cluster.envelope_handler",
        "actors.cluster.trust",
    ),
    "tests/actors/test_user*.py": (
        "actors.delivery.driver",
        "actors.delivery.wording",
    ),
    "tests/actors/test_storage*.py": ("actors.storage.batches", "actors.storage.outage"),
    "tests/actors/test_spool*.py": ("actors.spool.state",),
    "tests/actors/test_escalation.py": (
        *("actors.escalation.children", "actors.escalation.outcomes"),
    ),
    "tests/system/test_webpush.py": ("carriers.webpush",),
    "tests/protocol/test_*.py": ("protocol.retry_after",),
    "tests/actors/runtime/test_*.py": ("actors.runtime.*",),
    "tests/protocol/test_session*.py": ("protocol.delivery.flight",),
    "tests/protocol/test_delivery*.py": ("protocol.delivery.rivals",),
    "tests/cli/test_*.py": ("cli.*", "__main__"),
    "tests/client/test_*.py": ("client.*",),
    "tests/test_settings.py": ("settings.*",),
    "tests/persistence/test_store_contract_*.py": (
        *("persistence.scripts.*", "persistence.store.*"),
        "persistence.postgres.records",
        "persistence.postgres.pipeline",
    ),
    "tests/persistence/test_postgres_pipeline.py": ("persistence.postgres.pipeline",),
    "tests/persistence/test_redis_bus.py": ("persistence.redis.subscriber",),
    "tests/cli/test_backup.py": ("persistence.sqlite.backup", "persistence.postgres.backup"),
    "tests/cli/test_*copy.py": (*("persistence.sqlite.side", "persistence.postgres.side"),),
    "tests/server/auth/test_*.py": ("server.auth.*",),
    "tests/server/http/test_*.py": ("server.http.*", "server.door.edge_actors"),
    "tests/outbound/test_guarded_client.py": ("outbound.pool",),
    "tests/system/test_*.py": ("server.api.*", "server.attachment", "server.follow.sse"),
    "tests/system/test_webhooks.py": ("actors.sinks.*",),
    "tests/server/test_websocket*.py": ("server.websocket.outlet",),
    "tests/system/test_receipts.py": ("server.follow.receipts",),
    "tests/system/test_load.py": ("load.device", "load.producer"),
    "tests/actors/test_escalation*.py": ("actors.escalation.children",),
    "tests/system/test_producing.py": ("server.credentials", "server.marking"),
    "tests/server/ingest/test_*.py": ("server.ingest.*",),
    "tests/persistence/brokers/test_*.py": ("persistence.brokers.*",),
}
"""Suite -> modules of the product that it holds, which no test imports; `x.*` is all in x."""
NO_MODULES = {
    *("tocsin.v1.json", "tocsin.v1.protobuf"),
    *("tocsin.db", "tocsin.inbox.current", "tocsin.state"),
}
"""Subprotocols of the WebSocket, a file of SQLite, and fields of the client for browsers."""


def test_modules_that_documents_name_exist():
    refuse(
        (
            f"{short(path)}: {name}"
            for path in documents()
            for name in modules_named(path.read_text())
            if not exists(name)
        ),
        "There is no such file; the document tells of an older house",
    )


def test_every_module_is_held_by_tests():
    held = {f"tocsin.{name}" for names in HELD_BY.values() for name in names}
    imported = {target for path in python_files(ROOT / "tests") for _, target in imports_of(path)}
    refuse_beyond(
        {name for name in held if not name.endswith(".*")},
        (
            name
            for path in python_files(PACKAGE)
            if has_code(parse(path)) and (name := module_name(path)) not in imported
            if not any(f"{name}.".startswith(each[:-1]) for each in held if each.endswith(".*"))
        ),
        "No test imports it; test it by itself, or say in HELD_BY which suite holds it",
    )


def test_the_suites_that_hold_modules_exist():
    refuse((suite for suite in HELD_BY if not any(ROOT.glob(suite))), "There are no such tests")


def test_subjects_of_commits_are_short():
    refuse(
        (
            subject
            for subject in subjects_since(SUBJECTS_BEGIN)
            if len(subject) > SUBJECT_CHARACTERS_MAX
        ),
        f"A subject has at most {SUBJECT_CHARACTERS_MAX} characters; the body says why",
    )


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("See `http/connection.py` and `dev`.", ["http/connection.py"]),
        ("In `protocol/` and [this](cluster.md).", ["protocol/"]),
        ("The file `tocsin.actors.runtime.bell`.", ["tocsin/actors/runtime/bell.py"]),
        ("`/v1/messages/` and `ssl_ca_certs=/path/`", []),
    ],
)
def test_names_of_modules_are_seen(text, names):
    assert list(modules_named(text)) == names


# --- how they look --------------------------------------------------------------------------------


def documents() -> list[Path]:
    return [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]


def modules_named(text: str) -> Iterator[str]:
    """Paths of Python files and folders, and dotted names of ours, in backticks."""
    for quoted in re.findall(r"`([\w./]+)`", text):
        if re.fullmatch(r"[a-z_]\w*(/\w+)*(\.py|/)", quoted):
            yield quoted
        elif quoted.startswith("tocsin.") and "/" not in quoted and quoted not in NO_MODULES:
            yield quoted.replace(".", "/") + ".py"


def exists(name: str) -> bool:
    """Whether a file or folder of the repository is called so, from wherever one looks."""
    module = name.removesuffix(".py").removesuffix("/")
    return (ROOT / name).exists() or any(f"/{each}".endswith(f"/{module}") for each in places())


@cache
def places() -> frozenset[str]:
    found = {
        path.relative_to(ROOT).with_suffix("")
        for folder in FOLDERS
        for ending in ("py", "sql")
        for path in (ROOT / folder).rglob(f"*.{ending}")
    }
    return frozenset(
        str(each) for path in found for each in (path, *path.parents) if str(each) != "."
    )


def subjects_since(commit: str) -> list[str]:
    command = ["git", "log", "--no-merges", "--format=%s", f"{commit}..HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("without the history, as in an sdist or a shallow clone")
    return done.stdout.splitlines()
