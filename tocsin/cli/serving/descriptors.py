"""File descriptors: as many as the machine grants, and no more connections than those suffice for.

Each connection is one. The soft limit, 1 024 for most programs, is there for those that use
`select`, which knows no more; a program may raise its own up to the hard one. Where even that is
less than what the operator wants to serve, accepting would fail in the middle of a busy day. So
`connections_max` is lowered at the start, with a line in the log, and a connection beyond it is
refused as `overloaded`.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from tocsin.settings import Settings

logger = structlog.get_logger(__name__)

KEPT: Final = 200
"""Descriptors that are no connections of clients: 64 for clients that are being refused, up to a
hundred for the store, and Redis, listeners, the database's and other files."""


def connections_allowed(limit: int, wanted: int) -> int:
    """How many of the *wanted* connections a process may have with *limit* descriptors; 1 at least.

    A *limit* below zero is none (`RLIM_INFINITY`).
    """
    return wanted if limit < 0 else max(1, min(wanted, limit - KEPT))


def raise_limit() -> int:
    """Raise this process's limit of descriptors as far as it may; the limit, below zero for none.

    Processes that it forks inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS says that there is no limit, and grants less.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def with_room(settings: Settings) -> Settings:
    """*settings* with the connections that there are descriptors for; a log line if they are less.

    Raises the limit before.
    """
    limit, wanted = raise_limit(), settings.connections_max
    allowed = connections_allowed(limit, wanted)
    if allowed == wanted:
        return settings
    logger.warning(
        "too few file descriptors for connections_max",
        descriptors=limit,
        wanted=wanted,
        connections_max=allowed,
        remedy=f"allow {wanted + KEPT} open files (systemd: LimitNOFILE=, a shell: `ulimit -n`,"
        " Compose: `ulimits`), or lower connections_max",
    )
    return replace(settings, connections_max=allowed)
