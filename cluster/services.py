"""Postgres and Redis with the roles of a cluster, each role with a password made up here.

The rights of the roles stand in `roles.sql` and `redis.acl`, which docker compose uses as well.
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
    """Make a database with all tables on *postgres*; its URL for the role of the nodes.

    Makes the roles as well, which belong to the whole server, so it works once on each server.
    Raises `AssertionError` if `tocsin migrate` fails.
    """
    database = postgres.create_database()
    execute(database, (PLACE / "roles.sql").read_text())
    urls = {role: _with_password(database, role) for role in (OWNER, NODE)}
    migrate = [sys.executable, "-m", "tocsin", "migrate"]
    # Not among the arguments, which every user of the machine can read.
    environment = {**os.environ, "TOCSIN_DATABASE": urls[OWNER], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        migrate, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return urls[NODE]


def make_redis(*, users: Mapping[str, str] | None = None, durable: bool = False) -> Redis:
    """A Redis that has yet to be started, with the rules of `redis.acl`.

    *users* (name → rule) are added to these. *durable* as in `Redis`.
    """
    password = token_hex()
    rules = (PLACE / "redis.acl").read_text().replace(" PASSWORD ", f" >{password} ")
    more = "".join(f"user {name} {rule}\n" for name, rule in (users or {}).items())
    return Redis(acl=rules + more, login=(NODE, password), durable=durable)


def _with_password(database: str, role: str) -> str:
    """Give *role* a new password; the URL of *database* with the role and that password."""
    password = token_hex()
    execute(database, f"ALTER ROLE {role} PASSWORD '{password}'")
    parts = urlsplit(database)
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))
