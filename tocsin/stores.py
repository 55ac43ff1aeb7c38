"""From the settings to the store, for a node and for the commands that need no more of one."""

from __future__ import annotations

from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.settings import Settings
from tocsin.settings.postgres_address import parse_postgres


def make_store(settings: Settings, world: World) -> Store:
    """The store that `database` names; nothing is opened yet.

    A Postgres store needs a `trio_asyncio` loop around it, before it is opened.
    """
    if settings.sqlite_path is not None:
        from tocsin.persistence.sqlite.store import SqliteStore

        return SqliteStore(settings.sqlite_path, entropy=world.entropy, clock=world.now_ms)
    # Imported only when needed: a single node with a file needs neither asyncpg nor asyncio.
    from tocsin.persistence.postgres.connecting import Link
    from tocsin.persistence.postgres.store import PostgresStore

    address = parse_postgres(settings.database_url)
    return PostgresStore(
        address.dsn,
        link=Link(
            address.settings,
            address.connect_timeout,
            address.keepalives,
            address.keepalives_idle,
            address.keepalives_interval,
            address.keepalives_count,
            address.tcp_user_timeout,
        ),
        pool_size=settings.pool_size,
        command_timeout=settings.store_timeout,
        entropy=world.entropy,
        footprints=settings.redis is not None,
    )
