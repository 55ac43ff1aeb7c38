"""Every store keeps the letters that connectors leave, and the orders for connectors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.persistence.letters_kit import died, letters
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.ingest_commands import (
    BuryMessages,
    ConnectorOrders,
    FindIngest,
    IngestLetter,
    IngestLetters,
    ListIngest,
    ReadConnector,
    SetConnector,
    SettleIngest,
)
from tocsin.persistence.store.upkeep_commands import Purge


def letter(place: str = "events/0/1", **changes: Any) -> IngestLetter:
    fields: dict[str, Any] = {
        "connector": "events",
        "place": place,
        "idempotency_key": place,
        "correlation": None,
        "headers": {"x": "ü"},
        "encoding": "text",
        "body": '{"to":{}}',
        "cut": False,
        "problem": '{"code":"invalid"}',
        "dead_at": 90,
    }
    return IngestLetter(**fields | changes)


async def bury(desk, *letters: IngestLetter) -> list[IngestLetter]:
    await desk.one(BuryMessages(letters), Done)
    return await listed(desk)


async def listed(desk, **query: Any) -> list[IngestLetter]:
    page = await desk.ask(ListIngest(**{"limit": 100} | query), IngestLetters)
    return list(page.letters)


async def find(desk, id_: int) -> IngestLetter:
    found: IngestLetter = await desk.ask(FindIngest(id_), IngestLetter)
    return found


async def test_a_letter_is_kept_as_it_was_written(desk):
    [kept] = await bury(desk, letter())
    found = await find(desk, kept.id)
    assert found == letter(id=kept.id, history='[{"at":90,"event":"dead"}]')


async def test_a_list_has_no_bodies_and_the_newest_first(desk):
    await bury(desk, letter("a"), letter("b"))
    await bury(desk, letter("c", connector="other"))
    assert [each.place for each in await listed(desk)] == ["c", "b", "a"]
    assert {each.body for each in await listed(desk)} == {""}


async def test_a_message_that_comes_again_leaves_its_letter_as_it_is(desk):
    [first] = await bury(desk, letter())
    await desk.one(SettleIngest(first.id, "discarded", 95), Done)
    await bury(desk, letter(problem='{"code":"forbidden"}'), letter())
    [kept] = await listed(desk, status=None)
    assert (kept.id, kept.status, kept.problem) == (first.id, "discarded", first.problem)


async def test_pages_of_letters_are_told_apart_by_status_and_connector(desk):
    await bury(desk, *(letter(f"events/{number}") for number in range(5)))
    await bury(desk, letter("orders/1", connector="orders"))
    [newest, *_] = await listed(desk)
    page = await desk.ask(ListIngest(limit=2, before=newest.id), IngestLetters)
    assert ([each.place for each in page.letters], page.more) == (["events/4", "events/3"], True)
    assert [each.place for each in await listed(desk, connector="orders")] == ["orders/1"]
    await desk.one(SettleIngest(newest.id, "replayed", 100), Done)
    assert [each.place for each in await listed(desk, status="replayed")] == ["orders/1"]
    assert len(await listed(desk)) == 5
    assert len(await listed(desk, status=None)) == 6


async def test_a_letter_is_settled_once(desk):
    [kept] = await bury(desk, letter())
    await desk.one(SettleIngest(kept.id, "replayed", 100), Done)
    await desk.one(SettleIngest(kept.id, "discarded", 101), NotFound)
    await desk.one(SettleIngest(kept.id + 7, "discarded", 101), NotFound)
    found = await find(desk, kept.id)
    events = [(each["event"], each["at"]) for each in json.loads(found.history)]
    assert events == [("dead", 90), ("replayed", 100)]
    await desk.ask(FindIngest(kept.id + 7), NotFound)


async def test_old_letters_are_purged(desk):
    await bury(desk, letter("old", dead_at=10), letter("new", dead_at=50))
    await desk.write(Purge(idempotency_before=0, tickets_before=0, created_before=20))
    assert [each.place for each in await listed(desk)] == ["new"]


@pytest.mark.parametrize("orders", [ConnectorOrders(), ConnectorOrders(17, ("events/0/1", "b"))])
async def test_orders_hold_until_others_are_given(desk, orders):
    assert await desk.ask(ReadConnector("events"), ConnectorOrders) == ConnectorOrders()
    await desk.write(SetConnector("events", ConnectorOrders(3, ("x",))))
    await desk.write(SetConnector("events", orders))
    assert await desk.ask(ReadConnector("events"), ConnectorOrders) == orders
    assert await desk.ask(ReadConnector("other"), ConnectorOrders) == ConnectorOrders()


async def test_letters_of_both_kinds_share_one_row_of_numbers(desk):
    [first] = await bury(desk, letter("a"))
    await died(desk)
    [delivery] = await letters(desk)
    [last, _] = await bury(desk, letter("b"))
    assert first.id < delivery.id < last.id
