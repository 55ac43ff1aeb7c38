"""Every store makes receipts of facts, for the producers that follow them, in order."""

from __future__ import annotations

import pytest

from tests.persistence.desk_kit import START_OF_TIME, sent
from tocsin.persistence.store.commands import Done, NotFound, TooMany
from tocsin.persistence.store.receipt_queries import FindReceipts, ReadReceipts, ReceiptsSince
from tocsin.persistence.store.sink_commands import (
    BROKER,
    SINKS_MAX,
    ChangeSink,
    ClaimSinks,
    CreateSink,
    DeclareSink,
    DeleteSink,
    FollowReceipts,
    ListSinkLetters,
    ListSinks,
    SaveProgress,
    SettleSinkLetter,
    SinksClaimed,
    StoredSink,
)
from tocsin.persistence.store.upkeep_commands import Purge
from tocsin.persistence.store.user_commands import Acknowledge, MarkInbox
from tocsin.protocol.receipts.receipt import EVERYTHING, Filter
from tocsin.protocol.receipts.sink import Letter, Pending, Progress, Secret

NOW = START_OF_TIME


def sink(name="w1", *, events=EVERYTHING.events, categories=(), created_at=NOW):
    return StoredSink(
        id=name,
        url="https://shop.example/hook",
        secrets=(Secret("whsec_aaaa"),),
        filter=Filter(tuple(events), tuple(categories)),
        description="the shop",
        batch_max=100,
        progress=Progress(0),
        revision=0,
        created_at=created_at,
    )


async def receipts(desk, after=0, wanted=EVERYTHING, limit=100, **fields):
    return (await ask(desk, ReadReceipts(after, wanted, limit, **fields))).receipts


async def facts(desk, after=0):
    return [(each.kind, each.notification, each.user, each.device) for each in
            await receipts(desk, after)]  # fmt: skip


async def delivered(desk, user="ann", device="phone", **fields):
    """A notification that *device* has acknowledged; its id."""
    made = await desk.publish(user, **fields)
    sequence = (await desk.page(user)).head
    await desk.write(sent(user, device, made.content.id, sequence, acknowledged_at=NOW + 5))
    return made.content.id


# --- Which facts become receipts ----------------------------------------------------------------


async def test_while_no_sink_wants_them_there_are_no_receipts(desk):
    await delivered(desk)
    assert await facts(desk) == []


async def test_the_first_acknowledgment_of_a_user_is_a_receipt_and_no_other(desk):
    await desk.write(CreateSink(sink()))
    made = await delivered(desk)
    await desk.write(sent("ann", "laptop", made, 1, acknowledged_at=NOW + 6))
    await desk.write(sent("ann", "phone", made, 1, acknowledged_at=NOW + 7))

    [receipt] = await receipts(desk)
    assert (receipt.kind, receipt.notification, receipt.user) == ("delivered", made, "ann")
    assert (receipt.position, receipt.device, receipt.at) == (1, "phone", NOW + 5)
    assert (receipt.category, receipt.channel, receipt.detail) == ("default", None, None)


async def test_of_two_devices_in_one_transaction_the_earlier_is_named(desk):
    await desk.write(CreateSink(sink()))
    made = (await desk.publish("ann")).content.id
    await desk.write(
        sent("ann", "phone", made, 1, acknowledged_at=NOW + 9),
        sent("ann", "laptop", made, 1, acknowledged_at=NOW + 5),
    )
    assert await facts(desk) == [("delivered", made, "ann", "laptop")]


async def test_acknowledging_without_a_session_is_a_receipt_too(desk):
    await desk.write(CreateSink(sink()))
    first, second = [(await desk.publish("ann")).content.id for _ in range(2)]
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", first, 1)
    await desk.write(Acknowledge("ann", "phone", None, (first,), NOW + 1))
    await desk.write(Acknowledge("ann", "phone", 2, (), NOW + 2))
    assert await facts(desk) == [
        ("delivered", first, "ann", "phone"),
        ("delivered", second, "ann", "phone"),
    ]


async def test_reading_is_a_receipt_the_first_time(desk):
    await desk.write(CreateSink(sink()))
    made = (await desk.publish("ann")).content.id
    for mark in ("seen", "read", "unread", "read"):
        await desk.write(MarkInbox("ann", mark, NOW + 3, ids=(made,)))
    assert await facts(desk) == [("read", made, "ann", None)] * 2


async def test_an_expiry_is_a_receipt_for_each_user_who_did_not_get_it(desk):
    await desk.write(CreateSink(sink()))
    made = (await desk.publish("ann", "ben", expires_at=NOW + 10)).content.id
    await desk.write(sent("ann", "phone", made, 1, acknowledged_at=NOW + 1))
    await desk.expire(NOW + 10)
    assert await facts(desk) == [
        ("delivered", made, "ann", "phone"),
        ("expired", made, "ben", None),
    ]


async def test_an_expiry_of_a_topics_notification_is_one_receipt(desk):
    await desk.write(CreateSink(sink()))
    made = (await desk.publish(topic="news", expires_at=NOW + 10)).content.id
    await desk.expire(NOW + 10)
    assert await facts(desk) == [("expired", made, None, None)]


async def test_a_device_that_is_given_up_is_a_receipt(desk):
    await desk.write(CreateSink(sink()))
    made = (await desk.publish("ann")).content.id
    for _ in range(2):
        await desk.write(sent("ann", "phone", made, 1, attempts=20, dead="attempts exhausted"))
    [receipt] = await receipts(desk)
    assert (receipt.kind, receipt.device) == ("dead", "phone")
    assert receipt.detail == '{"reason":"attempts exhausted","attempts":20}'


async def test_only_facts_that_a_sink_wants_are_written(desk):
    await desk.write(CreateSink(sink(events=("read",), categories=("orders",))))
    other = await delivered(desk)
    order = await delivered(desk, category="orders")
    await desk.write(MarkInbox("ann", "read", NOW + 3, ids=(other, order)))
    assert await facts(desk) == [("read", order, "ann", None)]


async def test_receipts_of_a_batch_stand_in_the_order_of_its_facts(desk):
    await desk.write(CreateSink(sink()))
    made = [(await desk.publish("ann")).content.id for _ in range(5)]
    await desk.write(
        *(sent("ann", "phone", id_, at + 1, acknowledged_at=NOW + 9 - at)
          for at, id_ in enumerate(made))
    )  # fmt: skip
    assert [(each.position, each.notification) for each in await receipts(desk)] == [
        *enumerate(made, 1),
    ]


# --- Reading ------------------------------------------------------------------------------------


async def test_a_page_is_filtered_and_says_how_far_it_is_complete(desk):
    await desk.write(CreateSink(sink()))
    for category in ("a", "b", "a", "b", "a"):
        await delivered(desk, category=category)
    wanted = Filter(("delivered",), ("a",))

    page = await ask(desk, ReadReceipts(0, wanted, 2))
    assert ([each.position for each in page.receipts], page.through) == ([1, 3], 3)
    page = await ask(desk, ReadReceipts(3, wanted, 2))
    assert ([each.position for each in page.receipts], page.through) == ([5], 5)
    page = await ask(desk, ReadReceipts(5, wanted, 2))
    assert (page.receipts, page.through, page.head) == ((), 5, 5)
    page = await ask(desk, ReadReceipts(0, Filter(("read",)), 2, scanned_max=3))
    assert (page.receipts, page.through) == ((), 3)


async def test_receipts_are_found_by_their_positions_and_times(desk):
    await desk.write(CreateSink(sink()))
    for _ in range(3):
        await delivered(desk)
    found = await ask(desk, FindReceipts((3, 1, 9)))
    assert [each.position for each in found.receipts] == [1, 3]
    assert await ask(desk, ReceiptsSince(NOW + 5)) == 0
    assert await ask(desk, ReceiptsSince(NOW + 6)) == 3


async def test_purged_receipts_move_the_horizon_and_no_position_comes_again(desk):
    await desk.write(CreateSink(sink()))
    for _ in range(3):
        await delivered(desk)
    await desk.one(Purge(0, 0, receipts_before=NOW + 6, limit=2), object)
    page = await ask(desk, ReadReceipts(0, EVERYTHING, 9))
    assert ([each.position for each in page.receipts], page.horizon) == ([3], 2)
    await desk.one(Purge(0, 0, receipts_before=NOW + 6), object)
    await delivered(desk)
    page = await ask(desk, ReadReceipts(0, EVERYTHING, 9))
    assert ([each.position for each in page.receipts], page.horizon, page.head) == ([4], 3, 4)


async def test_a_reader_wants_receipts_until_it_has_not_read_for_long(desk):
    await desk.one(FollowReceipts("key:1", NOW), Done)
    await delivered(desk)
    assert len(await receipts(desk)) == 1
    await desk.one(Purge(0, 0, receipts_before=NOW), object)
    await delivered(desk)
    assert len(await receipts(desk)) == 2
    await desk.one(Purge(0, 0, receipts_before=NOW + 1), object)
    await delivered(desk)
    assert len(await receipts(desk)) == 2
    assert (await ask(desk, ListSinks())).sinks == ()


# --- Webhooks -----------------------------------------------------------------------------------


async def test_a_webhook_starts_at_the_head(desk):
    await desk.write(CreateSink(sink("w1")))
    await delivered(desk)
    await desk.one(CreateSink(sink("w2", created_at=NOW + 1)), Done)
    found = await ask(desk, ListSinks())
    assert [(each.id, each.progress.position) for each in found.sinks] == [("w1", 0), ("w2", 1)]
    assert found.head == 1
    assert (await ask(desk, ListSinks("w2"))).sinks == found.sinks[1:]


async def test_there_are_only_so_many_webhooks(desk):
    for number in range(SINKS_MAX):
        await desk.write(CreateSink(sink(f"w{number}")))
    assert await desk.write(CreateSink(sink("one more"))) == [TooMany(SINKS_MAX)]


async def test_a_webhook_is_leased_to_one_node(desk):
    await desk.write(CreateSink(sink()))
    [held] = await claim(desk, "a")
    assert held == (await ask(desk, ListSinks())).sinks[0]
    assert await claim(desk, "b", at=NOW + 14_999) == []
    assert len(await claim(desk, "a", at=NOW + 10_000)) == 1
    assert await claim(desk, "b", at=NOW + 15_000) == []
    assert len(await claim(desk, "b", at=NOW + 25_000)) == 1
    assert await claim(desk, "a", at=NOW + 25_001) == []


async def test_only_the_node_with_the_lease_moves_a_webhook_on(desk):
    await desk.write(CreateSink(sink()))
    await delivered(desk)
    await claim(desk, "a")
    moved = Progress(1, Pending((2,), attempts=3, gap=(1, 2)), "active", "timeout", 5, 6, 7)
    letter = Letter(1, "ann", "{}", "status_400", NOW)
    assert await desk.write(SaveProgress("w1", "b", 0, moved)) == [NotFound()]
    assert await desk.write(SaveProgress("w1", "a", 1, moved)) == [NotFound()]
    await desk.one(SaveProgress("w1", "a", 0, moved, (letter,)), Done)
    assert (await ask(desk, ListSinks())).sinks[0].progress == moved
    assert (await ask(desk, ListSinkLetters("w1", 9))).letters == (letter,)


async def test_an_operators_change_ends_what_was_being_carried(desk):
    await desk.write(CreateSink(sink()))
    await delivered(desk)
    await claim(desk, "a")
    failing = Progress(0, Pending((1,)), "disabled", "failing", 5)
    await desk.write(SaveProgress("w1", "a", 0, failing))
    changed = ChangeSink(
        "w1",
        url="https://other.example/",
        secrets=(Secret("whsec_b"), Secret("whsec_a", 9)),
        filter=Filter(("read",), ("orders",)),
        description="",
        batch_max=1,
        position=0,
        state="active",
    )
    await desk.one(changed, Done)
    [found] = (await ask(desk, ListSinks())).sinks
    assert (found.url, found.secrets, found.filter) == (
        changed.url,
        changed.secrets,
        changed.filter,
    )
    assert (found.batch_max, found.progress, found.revision) == (1, Progress(0), 1)
    assert await desk.write(SaveProgress("w1", "a", 0, failing)) == [NotFound()]
    assert len(await claim(desk, "b")) == 1


async def test_a_change_of_one_field_leaves_the_others(desk):
    await desk.write(CreateSink(sink()))
    before = (await ask(desk, ListSinks())).sinks[0]
    await desk.one(ChangeSink("w1", description="new"), Done)
    after = (await ask(desk, ListSinks())).sinks[0]
    assert (after.description, after.url, after.secrets) == ("new", before.url, before.secrets)
    assert (after.filter, after.progress) == (before.filter, before.progress)


@pytest.mark.parametrize("state", ["paused", "disabled"])
async def test_a_webhook_that_rests_is_not_claimed_and_its_receipts_are_kept(desk, state):
    await desk.write(CreateSink(sink()), ChangeSink("w1", state=state))
    await delivered(desk)
    assert await claim(desk, "a") == []
    await desk.one(ChangeSink("w1", state="active"), Done)
    [held] = await claim(desk, "a")
    assert held.progress.position == 0
    assert len(await receipts(desk)) == 1


async def test_a_webhook_that_is_deleted_takes_its_letters_along(desk):
    await desk.write(CreateSink(sink()))
    await delivered(desk)
    await claim(desk, "a")
    letter = Letter(1, "ann", "{}", "status_400", NOW)
    await desk.write(SaveProgress("w1", "a", 0, Progress(1), (letter,)))
    await desk.one(DeleteSink("w1"), Done)
    assert await desk.write(DeleteSink("w1"), ChangeSink("w1", url="x")) == [NotFound()] * 2
    assert (await ask(desk, ListSinkLetters("w1", 9))).letters == ()
    await delivered(desk)
    assert len(await receipts(desk)) == 1


async def test_letters_of_a_webhook_are_listed_settled_and_purged(desk):
    await desk.write(CreateSink(sink()))
    await delivered(desk)
    await claim(desk, "a")
    letters = tuple(Letter(at, "ann", "{}", "status_400", NOW + at) for at in (1, 2, 3))
    await desk.write(SaveProgress("w1", "a", 0, Progress(3), letters))
    page = await ask(desk, ListSinkLetters("w1", 2))
    assert ([each.position for each in page.letters], page.more) == ([3, 2], True)
    assert [each.position for each in
            (await ask(desk, ListSinkLetters("w1", 2, before=2))).letters] == [1]  # fmt: skip
    await desk.one(SettleSinkLetter("w1", 2, "replayed"), Done)
    assert await desk.write(SettleSinkLetter("w1", 9, "replayed")) == [NotFound()]
    assert (await ask(desk, ListSinkLetters("w1", 2))).letters[1].status == "replayed"
    await desk.one(Purge(0, 0, receipts_before=NOW + 3), object)
    assert [each.position for each in
            (await ask(desk, ListSinkLetters("w1", 9))).letters] == [3]  # fmt: skip


async def test_a_sink_of_the_settings_is_carried_to_by_a_node_that_has_it(desk):
    declared = DeclareSink("sink:audit", Filter(("delivered",), ("orders",)), 7, NOW)
    await desk.write(CreateSink(sink()), declared, declared)
    assert [each.id for each in (await ask(desk, ListSinks())).sinks] == ["w1"]
    [found] = (await ask(desk, ListSinks(kind=BROKER))).sinks
    assert (found.id, found.kind, found.batch_max) == ("sink:audit", "broker", 7)
    assert found.filter == Filter(("delivered",), ("orders",))
    assert {each.id for each in (await ask(desk, ListSinks(kind=None))).sinks} == {
        "w1",
        "sink:audit",
    }
    assert [each.id for each in await claim(desk, "a")] == ["w1"]
    claimed = await claim(desk, "b", names=("sink:audit", "sink:none"))
    assert [(each.id, each.kind) for each in claimed] == [("sink:audit", "broker")]
    assert await desk.write(ChangeSink("sink:audit", state="paused")) == [NotFound()]
    await desk.one(ChangeSink("sink:audit", state="paused", kind=BROKER), Done)
    assert await claim(desk, "b", names=("sink:audit",)) == []


async def test_receipts_are_kept_for_a_sink_of_the_settings_from_its_declaration_on(desk):
    await delivered(desk, user="early")
    await desk.write(DeclareSink("sink:audit", EVERYTHING, 7, NOW))
    assert await receipts(desk) == ()
    await delivered(desk)
    assert [each.kind for each in await receipts(desk)] == ["delivered"]
    [found] = (await ask(desk, ListSinks(kind=BROKER))).sinks
    assert found.progress.position == 0


async def test_a_sink_that_no_settings_have_any_more_is_forgotten(desk):
    hour = 3_600_000
    await desk.write(DeclareSink("sink:old", EVERYTHING, 7, NOW))
    await desk.write(DeclareSink("sink:new", EVERYTHING, 7, NOW))
    await claim(desk, "a", NOW + 9 * hour, names=("sink:new",))
    await desk.one(Purge(0, 0, receipts_before=NOW + 5 * hour), object)
    assert [each.id for each in (await ask(desk, ListSinks(kind=BROKER))).sinks] == ["sink:new"]


async def claim(desk, node, at=NOW, names=()):
    claimed = await desk.one(ClaimSinks(node, at, at + 15_000, names), SinksClaimed)
    return list(claimed.sinks)


async def ask(desk, query):
    [answer] = await desk.read(query)
    return answer
