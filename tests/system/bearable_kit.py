"""Attacks over HTTP that a neighbour must not feel, and the requests of which they are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from servers.node import wait_until
from servers.tokens import ADMIN
from tests.system.attacking_kit import Attack, Result, attacked
from tests.system.neighbour_kit import expect_unfelt
from tests.system.server_kit import Server

SECONDS = 1.0


def request(line: str, *fields: str, credential: str = "", body: bytes = b"") -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: localhost", *fields]
    if credential:
        lines.append(f"Authorization: Bearer {credential}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


LIVE = request("GET /livez")
UNKNOWN = "01890000-0000-7000-8000-000000000000"


def expect_bearable(server: Server, attack: Attack, *statuses: str) -> Result:
    """The *attack* is not felt, and it was one: the node has answered with all of *statuses*."""
    told = Result()

    @contextmanager
    def attacking() -> Iterator[None]:
        with attacked(server, attack, SECONDS) as result:
            yield
        told.__dict__.update(result.__dict__)

    before = server.process.num_fds()
    expect_unfelt(server, attacking)
    assert told.came >= attack.connections
    assert told.statuses.keys() >= set(statuses), told
    wait_until(lambda: server.process.num_fds() <= before + 2, what="the sockets to be closed")
    actors = server.http.get("/v1/admin/actors", headers={"Authorization": f"Bearer {ADMIN}"})
    assert actors.status_code == 200
    assert actors.text.count('"http') <= 10, "connections have been left behind"
    return told
