"""What users cost who are connected to a node of a cluster while nothing happens.

Beside heartbeats, which this scenario leaves out, that is looks into the store and presence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from bench.measuring import Row
from bench.server import Server
from bench.swarm import Swarm

SETTINGS: Final = {"heartbeat": "300"}
"""No heartbeat is due while the users are watched."""
_STATEMENTS: Final = "tocsin_store_statements_total"
_WATCHED: Final = 60.0
"""Seconds: four looks of the reconciler, six renewals of presence."""


async def quiet(nodes: Sequence[Server]) -> list[Row]:
    """The CPU of a node and of Postgres with 0, 1 000 and 10 000 users, who are quiet."""
    [node] = nodes
    alone = await _watch(node, 0)
    few = await _watch(node, 1000)
    many = await _watch(node, 10_000)
    rows = []
    for users, (cpu, database, statements) in ((1000, few), (10_000, many)):
        kind = f"{users:,} quiet users".replace(",", " ")
        rows += [
            Row(f"{kind}: node, more than without", (cpu - alone[0]) * 100, "% of a core", 0.5),
            Row(f"{kind}: Postgres, more", (database - alone[1]) * 100, "% of a core"),
            Row(f"{kind}: statements", statements * 60, "1/min"),
        ]
    return rows


async def _watch(node: Server, users: int) -> tuple[float, float, float]:
    """Seconds of CPU a second, of *node* and of its database, and the node's statements a second,
    while *users* are connected."""
    swarm = Swarm(node)
    await swarm.connect([(f"u{number}", "phone") for number in range(users)], window=1024)
    node.wait_settled()
    statements = node.metric(_STATEMENTS)
    cpu, database = node.cpu_seconds, node.database_cpu_seconds
    await asyncio.sleep(_WATCHED)
    used = node.cpu_seconds - cpu, node.database_cpu_seconds - database
    statements = node.metric(_STATEMENTS) - statements
    await swarm.close()
    node.wait_settled()
    return used[0] / _WATCHED, used[1] / _WATCHED, statements / _WATCHED
