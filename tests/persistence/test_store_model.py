"""Any commands, in any batches: a store does what the model does (`model_kit.py`)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.persistence.databases_kit import AnyStore, Database, PostgresDatabase, SqliteMemory
from tests.persistence.desk_kit import ALL_BUT_ARCHIVED, START_OF_TIME
from tests.persistence.model_commands_kit import command_of
from tests.persistence.model_kit import Model
from tocsin.persistence.store.commands import Changed, FanOut, Publish
from tocsin.persistence.store.queries import (
    Deliveries,
    FindNotification,
    Inbox,
    InboxPage,
    ReadDeliveries,
    ReadPage,
)
from tocsin.persistence.store.upkeep_commands import Expired, Released
from tocsin.persistence.store.user_commands import Materialised
from tocsin.protocol.notifications.notification import EVERYONE

USERS = ("ann", 'b/"ö\\|b', "cem")
DEVICES = ("phone", "tablet")
BYTES_MAX = 700  # two or three documents

# An operation says which notification it is about by a number that is taken modulo the number of
# notifications there are, so that shrinking one operation leaves the others what they were.
which = st.integers(0, 9)
users = st.lists(st.sampled_from(USERS), unique=True, max_size=3).map(tuple)
user, device = st.sampled_from(USERS), st.sampled_from(DEVICES)
topic = st.sampled_from([EVERYONE, "news", "work"])
named_topic = topic.filter(lambda name: name != EVERYONE)
keys = st.sampled_from([None, None, "k"])
changes = st.one_of(
    st.tuples(st.just("publish"), users, st.none() | st.integers(1, 40)),
    st.tuples(st.just("publish"), users, st.none() | st.integers(1, 40)),
    st.tuples(st.just("keyed"), users, st.sampled_from("kl"), st.sampled_from([b"1", b"2"])),
    st.tuples(st.just("again"), which),
    st.tuples(st.just("update"), which, st.none() | st.lists(st.integers(1, 3), max_size=2)),
    st.tuples(st.just("withdraw"), which),
    st.tuples(st.just("topic"), topic, st.none() | st.integers(1, 40), keys),
    st.tuples(st.just("topic"), topic, st.none() | st.integers(1, 40), keys),
    st.tuples(st.just("collapse"), users, st.none() | st.integers(1, 40)),
    st.tuples(st.just("schedule"), users, st.none() | topic, st.integers(1, 20), keys),
    st.tuples(st.just("release"), st.integers(0, 30), st.integers(1, 3)),
    st.tuples(st.just("expire"), st.integers(0, 50), st.integers(1, 3)),
)


def records(acknowledged_at: st.SearchStrategy[int | None]) -> st.SearchStrategy[Any]:
    behind = st.integers(0, 2)  # the present sequence
    dead = st.sampled_from([None, None, None, "unresponsive"])
    return st.tuples(
        st.just("record"), which, user, device, behind, st.integers(1, 3), acknowledged_at, dead
    )


session = st.sampled_from(["a/1", "b/1"])
attaches = st.tuples(
    st.just("attach"),
    user,
    device,
    st.none() | st.integers(0, 8),
    st.sampled_from([0, 0, 0, 1]),
    session,
)
ends = st.tuples(st.just("end"), user, device, session)


acknowledgments = st.tuples(
    st.just("acknowledge"), user, device, st.none() | st.integers(0, 8), st.lists(which, max_size=3)
)


switches = st.dictionaries(st.sampled_from(["default", "news", "work"]), st.booleans())
looks = st.one_of(
    st.tuples(st.just("bring"), users),
    st.tuples(st.just("bring"), users),
    st.tuples(st.just("subscribe"), named_topic, users, st.booleans()),
    st.tuples(st.just("unsubscribe"), named_topic, users),
    st.tuples(st.just("close"), named_topic, st.booleans()),
    st.tuples(st.just("prefer"), user, switches),
    st.tuples(st.just("mark"), user, st.sampled_from(["seen", "read", "unread", "archived"]),
              st.none() | which),
)  # fmt: skip


def one_device_each(operations: list[Any]) -> list[Any]:
    """The same with one arriving device per user, the first that is named."""
    devices: dict[str, str] = {}
    return [
        (kind, args[0], devices.setdefault(args[0], args[1]), *args[2:])
        if kind == "attach"
        else (kind, *args)
        for kind, *args in operations
    ]


# Across devices the order within a batch is free: an arriving device may see what later commands
# publish, and whether it sees what others acknowledge there is open. So these do not mix. Nor do
# marks with what changes preferences or brings: they are of another kind, and kinds have an order.
batches = st.lists(
    st.lists(changes, max_size=5).flatmap(lambda first: looks.map(lambda last: [*first, last]))
    | st.lists(changes | ends | records(st.none() | st.integers(5, 8)), min_size=1, max_size=8)
    | st.lists(attaches | ends | records(st.none()), min_size=1, max_size=4).map(one_device_each)
    | acknowledgments.map(lambda one: [one]),
    max_size=8,
)

no_new_database = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(operations=batches)
@example(
    [
        [("publish", ("ann",), 1), ("withdraw", 0)],
        [("attach", "ann", "phone", None, 0, "a/1"), ("attach", "ann", "phone", None, 0, "a/1")],
    ]
)
@example(
    [
        [("subscribe", "work", ("ann",), False)],
        [("topic", "work", None, None)],
        [("unsubscribe", "work", ("ann",))],
        [("attach", "ann", "phone", None, 0, "a/1")],
    ]
)
@example(
    [
        [("collapse", ("ann",), None), ("record", 0, "ann", "phone", 0, 1, 5, None)],
        [("collapse", ("ann",), None), ("withdraw", 0), ("bring", ())],
    ]
)
@example(
    [
        [("publish", ("ann", "cem"), None), ("topic", "*", 40, None)],
        [
            ("record", 1, "cem", "phone", 1, 3, None, "unresponsive"),
            ("attach", "ann", "tablet", 2, 0, "a/1"),
            ("record", 0, "ann", "tablet", 1, 3, None, "unresponsive"),
            ("attach", "cem", "tablet", 5, 0, "a/1"),
        ],
    ]
)
@example(
    [
        [("publish", ("ann",), None), ("publish", ("ann",), None)],
        [("record", 1, "ann", "phone", 0, 1, 5, None)],
        [("attach", "ann", "phone", 1, 0, "a/1")],
    ]
)
@settings(deadline=None, max_examples=300)
def test_sqlite_does_what_the_model_does(operations):
    run(SqliteMemory(), operations)


@given(operations=batches)
@settings(no_new_database, max_examples=30)
def test_postgres_does_what_the_model_does(postgres_url, operations):
    run(PostgresDatabase(postgres_url), operations)


@pytest.mark.timeout(1800)  # 2 000 examples, a tenth of a second each where the disk is slow
@pytest.mark.faults
@given(operations=batches)
@settings(no_new_database, max_examples=2000)
def test_postgres_does_what_the_model_does_at_length(postgres_url, operations):
    run(PostgresDatabase(postgres_url), operations)


def run(database: Database, operations: list[list[Any]]) -> None:
    async def main() -> None:
        async with database.running():
            store = database.store()
            await store.open()
            try:
                if isinstance(database, PostgresDatabase):
                    await database.execute(
                        "TRUNCATE notifications, inbox, users, devices, deliveries, idempotency, "
                        "topics, topic_log, subscriptions, preferences, schedule, collapsing, "
                        "dead_letters"
                    )
                await compare(store, operations)
            finally:
                await store.aclose()

    trio.run(main)


async def compare(store: AnyStore, operations: list[list[Any]]) -> None:
    model = Model(store.epoch)
    made: list[Publish] = []
    for batch in operations:
        commands = [command_of(operation, model, made) for operation in batch]
        expected = model.write(commands)
        for result, right in zip(await store.write(commands), expected, strict=True):
            assert comparable(result) == comparable(right)
        await compare_answers(store, model)


def comparable(result: Any) -> Any:
    """A result without what no order is prescribed for, and what the model does not know."""
    match result:
        case Changed():
            return (result.content, result.standing, result.recipients, pushes(result.fan_outs))
        case Materialised():
            return pushes(result.fan_outs)
        case Released():
            return [comparable(each) for each in result.changes]
        case Expired():
            return (result.count, result.topics, result.users)
    return result


def pushes(fan_outs: tuple[FanOut, ...]) -> dict[tuple[str, int], Any]:
    """The news of each user by sequence; they ascend in the order of *fan_outs*."""
    told: dict[tuple[str, int], Any] = {}
    heads: dict[str, int] = {}
    for fan_out in fan_outs:
        for at in fan_out.positions:
            assert at.sequence > heads.get(at.user, 0)
            heads[at.user] = at.sequence
            state = fan_out.states.get(at.user)
            told[at.user, at.sequence] = (fan_out.content, fan_out.change, at, state)
    return told


async def compare_answers(store: AnyStore, model: Model) -> None:
    heads = [0, *range(1, max(model.heads.values(), default=0) + 1)]
    cuts = [(start, after) for start, after in itertools.product(heads, heads) if start <= after]
    pages = [
        ReadPage(user, device, start, after, limit, BYTES_MAX, began, resumed, began + more)
        for user, device in itertools.product(USERS, DEVICES)
        for start, after in cuts[:: 1 + len(cuts) // 12]
        for began in ((start + after) // 2 + 1,)
        for limit, resumed, more in ((2, False, 0), (100, True, 1), (100, False, 2))
    ]
    assert await store.read(pages) == [model.page(page) for page in pages]
    for user in USERS:
        [inbox] = await store.read(
            [InboxPage(user, ALL_BUT_ARCHIVED, None, 100, None, START_OF_TIME)]
        )
        assert isinstance(inbox, Inbox)
        assert list(inbox.items) == model.inbox(user)
    for id_ in model.notifications:
        view, ledger = await store.read([FindNotification(id_), ReadDeliveries(id_, 100, None)])
        assert view == model.view(id_)
        assert isinstance(ledger, Deliveries)
        assert list(ledger.lines) == model.deliveries(id_)
