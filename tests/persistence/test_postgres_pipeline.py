"""Statements that wait and are sent together: their order, their errors and their round trips."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from tests.persistence.desk_kit import publish, sent
from tests.persistence.postgres_kit import opened, session
from tocsin.persistence.postgres.connecting import Connection
from tocsin.persistence.postgres.driving import drive
from tocsin.persistence.scripts.logs.publish_plain import FEW_MAX
from tocsin.persistence.store.commands import Changed
from tocsin.persistence.store.user_commands import Record
from tocsin.protocol.log.ledger import DeviceCursor


@pytest.fixture
async def desk(loop, postgres_url):
    desk = await opened(postgres_url, pool_size=1)
    yield desk
    await desk.store.aclose()


class Counting:
    """Stands before the driver's protocol, and counts what it says to the server."""

    def __init__(self, connection: Any) -> None:
        self._protocol = connection._protocol
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += name in ("query", "prepare", "bind_execute", "execute")
        return getattr(self._protocol, name)


async def round_trips(desk, *commands) -> int:
    """How often a write of *commands* waits for the server, once all is prepared."""
    [connection] = desk.store._pool._idle
    counting = connection._protocol = Counting(connection)
    try:
        await desk.write(*commands)
    finally:
        connection._protocol = counting._protocol
    return counting.asked


def record_of(made: Changed) -> Record:
    line = sent("ann", "phone", made.content.id, 1, acknowledged_at=5)
    return Record(line.deliveries, (DeviceCursor("ann", "phone", 1, 5),))


async def test_a_post_waits_for_the_server_twice_and_a_ledger_once(desk):
    """For the rows of `publish_few`, and for the commit. A key is claimed before, and users that
    become known join the topic of everyone behind."""
    await desk.attach("ann", "phone")
    first = await desk.publish("ann", key="a")
    await desk.write(record_of(first), publish("ann"))

    assert await round_trips(desk, publish("ann")) == 2
    assert await round_trips(desk, record_of(first), publish("ann"), publish("ann")) == 2
    assert await round_trips(desk, publish("bob", "ann")) == 4
    assert await round_trips(desk, publish("ann", key="b")) == 3
    assert await round_trips(desk, record_of(first)) == 1


async def test_a_post_beside_other_changes_waits_for_the_server_five_times(desk):
    """For the rows of each step that the next one needs, and for the commit."""
    await desk.attach("ann", "phone")
    many = [f"user-{number}" for number in range(FEW_MAX + 1)]
    await desk.publish(*many)

    assert await round_trips(desk, publish(*many)) <= 5
    assert await round_trips(desk, *map(publish, many)) <= 5


async def test_a_statement_that_waits_runs_before_the_next_one_with_rows(desk, postgres_url):
    async def work(connection: Connection) -> list[Any]:
        pipeline = connection.pipeline
        await pipeline.add("CREATE TEMPORARY TABLE seen (number int)")
        await pipeline.add("INSERT INTO seen VALUES ($1::text::int)", ["1"])
        await pipeline.add("INSERT INTO seen SELECT number + $1::text::int FROM seen", ["4"])
        rows = await pipeline.fetch("SELECT number FROM seen ORDER BY number", [])
        return [row[0] for row in rows]

    assert await desk.store._call(work, 10) == [1, 5]


async def test_an_error_of_a_statement_that_waited_ends_the_transaction(desk, postgres_url):
    """The COMMIT behind it was sent already, and is passed over."""

    async def work(connection: Connection) -> None:
        pipeline = connection.pipeline
        await pipeline.add("BEGIN")
        await pipeline.add("INSERT INTO meta (name, value) VALUES ($1, 'x')", ["bell"])
        await pipeline.flush()
        await pipeline.add("SELECT 1 / $1::text::int", ["0"])
        await pipeline.add("COMMIT")
        await pipeline.flush()

    await desk.publish("ann")
    [connection] = desk.store._pool._idle
    with pytest.raises(asyncpg.DivisionByZeroError):
        await drive(connection, work(connection))
    connection.terminate()
    async with session(postgres_url) as run:
        assert await run("SELECT 1 FROM meta WHERE name = 'bell'") == []


@pytest.mark.parametrize("title", ["Ä🔔", 'say "x" \\ {y}', "it's, NULL", "long " * 20_000])
async def test_a_text_in_a_statement_that_waits_arrives_as_it_is(desk, title):
    made = await desk.publish("ann")
    changed = await desk.update(made.content.id, title=title)

    assert json.loads(changed.content.document)["title"] == title
    assert (await desk.view(made.content.id)).content == changed.content
