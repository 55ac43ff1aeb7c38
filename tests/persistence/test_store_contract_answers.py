"""Every store answers messages of connectors in its receipts: accepted or refused, once."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tests.persistence.desk_kit import START_OF_TIME, publish
from tests.persistence.test_store_contract_ingest import letter
from tests.persistence.test_store_contract_receipts import receipts, sink
from tocsin.persistence.store.commands import (
    Changed,
    Done,
    KeyReused,
    Origin,
    Publish,
    Replayed,
    Update,
    Withdraw,
)
from tocsin.persistence.store.ingest_commands import BuryMessages
from tocsin.persistence.store.sink_commands import CreateSink, FollowReceipts
from tocsin.protocol.notifications.notification import Patch
from tocsin.protocol.receipts.receipt import USUAL

NOW = START_OF_TIME
ORIGIN = Origin("orders", "queue/7", "7", "c7")


def taken(*users: str, **fields: Any) -> Publish:
    return msgspec.structs.replace(publish(*users, **fields), origin=ORIGIN)


async def answers(desk) -> list[tuple[str, str | None, dict[str, Any]]]:
    found = await receipts(desk)
    assert {(each.user, each.device) for each in found} <= {(None, None)}
    return [(each.kind, each.notification, json.loads(each.detail)) for each in found]


async def test_a_message_that_is_stored_is_accepted_once(desk):
    await desk.write(CreateSink(sink()))
    command = taken("ann", "bob", key="7")
    changed = await desk.one(command, Changed)
    await desk.one(taken("ann", "bob", key="7"), Replayed)
    await desk.one(command, Replayed)
    assert await answers(desk) == [
        (
            "accepted",
            changed.content.id,
            {
                "connector": "orders",
                "place": "queue/7",
                "key": "7",
                "correlation": "c7",
                "action": "publish",
                "recipients": 2,
            },
        )
    ]
    [receipt] = await receipts(desk)
    assert (receipt.category, receipt.at) == ("default", NOW)


async def test_a_post_over_http_is_not_answered_by_a_receipt(desk):
    await desk.write(CreateSink(sink()))
    await desk.publish("ann")
    assert await receipts(desk) == ()


async def test_a_message_that_collapses_is_accepted_as_the_notification_that_it_renews(desk):
    await desk.write(CreateSink(sink()))
    first = await desk.publish("ann", collapse_key="k")
    await desk.one(taken("ann", collapse_key="k"), Changed)
    [(kind, notification, _)] = await answers(desk)
    assert (kind, notification) == ("accepted", first.content.id)


async def test_a_change_that_a_message_asks_for_is_accepted_once(desk):
    await desk.write(CreateSink(sink()))
    made = (await desk.publish("ann")).content.id
    update = Update(made, Patch(title="x"), NOW, once="orders/7", origin=ORIGIN)
    withdraw = Withdraw(made, NOW + 1, once="orders/8", origin=ORIGIN)
    await desk.write(update)
    await desk.write(update, withdraw)
    found = await answers(desk)
    assert [(kind, of, said["action"]) for kind, of, said in found] == [
        ("accepted", made, "update"),
        ("accepted", made, "withdraw"),
    ]


async def test_a_message_that_the_store_does_not_carry_out_is_not_accepted(desk):
    await desk.write(CreateSink(sink()))
    await desk.one(taken("ann", key="7", fingerprint=b"one"), Changed)
    await desk.one(taken("ann", key="7", fingerprint=b"other"), KeyReused)
    await desk.write(Withdraw("0" * 32, NOW, origin=ORIGIN))
    assert len(await answers(desk)) == 1


async def test_a_letter_is_a_refusal_once(desk):
    await desk.write(CreateSink(sink()))
    problem = '{"code":"invalid","status":422,"title":"t","detail":"d","errors":[{"field":"x"}]}'
    poison = letter(correlation="c1", problem=problem)
    for _ in range(2):
        await desk.one(BuryMessages((poison,)), Done)
    assert await answers(desk) == [
        (
            "refused",
            None,
            {
                "connector": "events",
                "place": "events/0/1",
                "key": "events/0/1",
                "correlation": "c1",
                "problem": {"code": "invalid", "status": 422, "title": "t", "detail": "d"},
            },
        )
    ]


async def test_a_receipt_that_a_connector_took_is_never_answered_by_another(desk):
    await desk.write(CreateSink(sink()))
    await desk.one(BuryMessages((letter(headers={"receipt-id": "e-1"}),)), Done)
    assert await receipts(desk) == ()


async def test_only_a_follower_that_asks_for_answers_has_them_written(desk):
    await desk.write(CreateSink(sink(events=USUAL.events)))
    await desk.one(FollowReceipts("reader:shop", NOW), Done)
    await desk.one(taken("ann"), Changed)
    await desk.one(BuryMessages((letter(),)), Done)
    assert await receipts(desk) == ()
    await desk.one(FollowReceipts("reader:shop", NOW, all_kinds=True), Done)
    await desk.one(FollowReceipts("reader:shop", NOW), Done)
    await desk.one(taken("ann"), Changed)
    assert [kind for kind, _, _ in await answers(desk)] == ["accepted"]
