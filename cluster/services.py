"""Postgres and Redis with the roles of a cluster in them, and passwords made up for these.

What the roles may do stands in `roles.sql` and `redis.acl`, for docker compose as for this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from servers.postgres import DatabaseServer, execute
from servers.redis import Redis

PLACE: Final = Path(__file__).parent
ROOT: Final = PLACE.parent
OWNER: Final = "tocsin_owner"
NODE: Final = "tocsin"


def make_database(postgres: DatabaseServer) -> str:
    """A new database on *postgres*, tables and all; its URL for the role of the nodes.

    Makes the roles as well, so it can be done once on a server.
    """
    database = postgres.create_database()
    execute(database, (PLACE / "roles.sql").read_text())
    urls = {role: _with_password(database, role) for role in (OWNER, NODE)}
    migrate = [sys.executable, "-m", "tocsin", "migrate"]
    # Not among the arguments, which everybody on the machine can read.
    environment = {**os.environ, "TOCSIN_DATABASE": urls[OWNER], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        migrate, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return urls[NODE]


def make_redis(*, users: Mapping[str, str] | None = None, durable: bool = False) -> Redis:
    """A Redis, yet to be started, in which `redis.acl` holds; *users* are more rules, by name."""
    password = token_hex()
    rules = (PLACE / "redis.acl").read_text().replace(" PASSWORD ", f" >{password} ")
    more = "".join(f"user {name} {rule}\n" for name, rule in (users or {}).items())
    return Redis(acl=rules + more, login=(NODE, password), durable=durable)


def _with_password(database: str, role: str) -> str:
    """The URL of *database* for *role*, which gets a password for it."""
    password = token_hex()
    execute(database, f"ALTER ROLE {role} PASSWORD '{password}'")
    parts = urlsplit(database)
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))
