"""Dead messages that are moved to a place at their broker, with the reason: none is lost."""

from __future__ import annotations

import json

from tests.server.ingest.ingest_kit import open_desk, until
from tocsin.persistence.brokers.memory import MemoryQueue
from tocsin.persistence.source import BrokerMessage, SourceAway, SourceRefused
from tocsin.persistence.store.ingest_commands import IngestLetter, ListIngest
from tocsin.protocol.refusal import refuse
from tocsin.server.connector_status import IngestState
from tocsin.server.ingest.burial import Dead, open_burial
from tocsin.server.ingest.letters import letter_of


async def moved(graves: MemoryQueue) -> list[BrokerMessage]:
    async with graves.connect() as source:
        taken = await source.take(99, 0.0)
        await source.done(taken)
    return list(taken)


async def lines(desk) -> list[IngestLetter]:
    return list((await desk.services.read(ListIngest(limit=9, status=None))).letters)


async def test_a_dead_message_is_moved_whole_and_the_store_keeps_a_settled_line(tmp_path):
    graves = MemoryQueue("graves")
    async with open_desk(tmp_path, dead_letters=graves.connect_sink) as desk:
        desk.post("before")
        desk.queue.put(b"\xff\0", {"x": "y", "correlation-id": "c1"})
        desk.post("after")
        await desk.emptied()
        assert await desk.titles() == ["before", "after"]
        [line] = await lines(desk)
    [grave] = await moved(graves)
    assert grave.body == b"\xff\0"
    reason = grave.headers["tocsin-reason"]
    assert grave.headers == {
        "tocsin-problem": "malformed",
        "tocsin-reason": reason,
        "tocsin-place": line.place,
        "correlation-id": "c1",
        "x": "y",
    }
    assert reason.startswith("The request could not be read: ")
    assert (line.status, line.body, line.cut) == ("discarded", "", True)
    assert [each["event"] for each in json.loads(line.history)] == ["dead", "moved"]


async def test_bodies_are_moved_in_order_and_a_huge_one_is_cut(tmp_path):
    graves = MemoryQueue("graves")
    async with open_desk(tmp_path, running=False, dead_letters=graves.connect_sink) as desk:
        for size in (100_000, 100_000, 300_000, 1):
            desk.queue.put(b"x" * size)
        async with desk.run():
            await desk.emptied()
    found = await moved(graves)
    assert [len(each.body) for each in found] == [100_000, 100_000, 131_072, 1]
    assert [each.headers.get("tocsin-cut") for each in found] == [None, None, "300000", None]


async def test_a_place_that_is_away_or_missing_holds_the_batch_and_says_so(tmp_path):
    graves = MemoryQueue("graves")
    graves.error = SourceRefused("no queue")
    async with open_desk(tmp_path, dead_letters=graves.connect_sink) as desk:
        desk.queue.put(b"poison")
        desk.post("after")
        await until(lambda: desk.connector.state is IngestState.REFUSED)
        assert desk.connector.reason == "dead letters: no queue"
        assert len(desk.queue) == 2
        graves.error = SourceAway("gone")
        await until(lambda: desk.connector.state is IngestState.HELD)
        assert desk.connector.reason == "dead letters: gone"
        graves.error = None
        await desk.emptied()
        assert await desk.titles() == ["after"]
    assert [each.body for each in await moved(graves)] == [b"poison"]


async def test_a_stop_leaves_what_could_not_be_moved_to_the_broker(tmp_path):
    graves = MemoryQueue("graves")
    graves.error = SourceAway("gone")
    async with open_desk(tmp_path, dead_letters=graves.connect_sink) as desk:
        desk.queue.put(b"poison")
        await until(lambda: desk.connector.state is IngestState.HELD)
    assert len(desk.queue) == 1


async def test_a_message_that_is_moved_again_after_a_death_has_one_line(tmp_path):
    graves = MemoryQueue("graves")
    async with open_desk(tmp_path, running=False, dead_letters=graves.connect_sink) as desk:
        terms = desk.connector.terms
        taken = BrokerMessage(place="queue/1", key="queue/1", body=b"poison", token=1)
        letter = letter_of(taken, refuse("malformed", "It is no JSON."), terms, 1)
        async with open_burial(terms, desk.services) as burial:
            for _ in range(2):
                assert await burial.bury([Dead(taken, letter)]) == 1
        assert len(await lines(desk)) == 1
    first, second = await moved(graves)
    assert first.headers == second.headers
