"""Any commands, in any batches: a store does what the model does (`model.py`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.persistence.databases import AnyStore, Database, PostgresDatabase, SqliteMemory
from tests.persistence.desk import ALL_BUT_ARCHIVED, START_OF_TIME, content
from tests.persistence.model import Model
from tocsin.persistence.store import (
    Attach,
    Command,
    Deliveries,
    DeliveryRecord,
    DeviceCursor,
    Expire,
    Expired,
    FindNotification,
    Idempotency,
    Inbox,
    InboxPage,
    Publish,
    ReadDeliveries,
    ReadPage,
    Record,
    Update,
    Withdraw,
)
from tocsin.protocol.cursor import Cursor
from tocsin.protocol.notification import Patch

USERS = ("ann", "bob", "cem")
DEVICES = ("phone", "tablet")
BYTES_MAX = 700  # two or three documents

# An operation says which notification it is about by a number that is taken modulo the number of
# notifications there are, so that shrinking one operation leaves the others what they were.
which = st.integers(0, 9)
users = st.lists(st.sampled_from(USERS), unique=True, max_size=3).map(tuple)
user, device = st.sampled_from(USERS), st.sampled_from(DEVICES)
changes = st.one_of(
    st.tuples(st.just("publish"), users, st.none() | st.integers(1, 40)),
    st.tuples(st.just("publish"), users, st.none() | st.integers(1, 40)),
    st.tuples(st.just("keyed"), users, st.sampled_from("kl"), st.sampled_from([b"1", b"2"])),
    st.tuples(st.just("again"), which),
    st.tuples(st.just("update"), which, st.none() | st.integers(1, 3)),
    st.tuples(st.just("withdraw"), which),
    st.tuples(st.just("expire"), st.integers(0, 50), st.integers(1, 3)),
)


def records(acknowledged_at: st.SearchStrategy[int | None]) -> st.SearchStrategy[Any]:
    behind = st.integers(0, 2)  # the present sequence
    dead = st.sampled_from([None, None, None, "unresponsive"])
    return st.tuples(
        st.just("record"), which, user, device, behind, st.integers(1, 3), acknowledged_at, dead
    )


attaches = st.tuples(
    st.just("attach"), user, device, st.none() | st.integers(0, 8), st.sampled_from([0, 0, 0, 1])
)


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
# publish, and whether it sees what others acknowledge there is open. So these do not mix.
batches = st.lists(
    st.lists(changes | records(st.none() | st.integers(5, 8)), min_size=1, max_size=8)
    | st.lists(attaches | records(st.none()), min_size=1, max_size=4).map(one_device_each),
    max_size=8,
)

no_new_database = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(operations=batches)
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
                        "TRUNCATE notifications, inbox, users, devices, deliveries, idempotency"
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
            if isinstance(result, Expired):  # of its next_at the model knows nothing
                right = Expired(getattr(right, "count", -1), result.next_at)
            assert unordered(result) == unordered(right)
        await compare_answers(store, model)


def unordered(result: Any) -> Any:
    """A change without the order of its positions, which only a publish prescribes."""
    positions = getattr(result, "positions", None)
    if positions is None:
        return result
    return (result.content, sorted(position.user for position in positions), set(positions))


async def compare_answers(store: AnyStore, model: Model) -> None:
    heads = [0, *range(1, max(model.heads.values(), default=0) + 1)]
    cuts = [(start, after) for start, after in itertools.product(heads, heads) if start <= after]
    pages = [
        ReadPage(user, device, start, after, limit, BYTES_MAX, (start + after) // 2 + 1, resumed)
        for user, device in itertools.product(USERS, DEVICES)
        for start, after in cuts[:: 1 + len(cuts) // 12]
        for limit, resumed in ((2, False), (100, True), (100, False))
    ]
    assert await store.read(pages) == [model.page(page) for page in pages]
    for user in USERS:
        [inbox] = await store.read([InboxPage(user, ALL_BUT_ARCHIVED, None, 100, None)])
        assert isinstance(inbox, Inbox)
        assert list(inbox.items) == model.inbox(user)
    for id_ in model.notifications:
        view, ledger = await store.read([FindNotification(id_), ReadDeliveries(id_, 100, None)])
        assert view == model.view(id_)
        assert isinstance(ledger, Deliveries)
        assert list(ledger.lines) == model.deliveries(id_)


def command_of(operation: Any, model: Model, made: list[Publish]) -> Command:
    kind, *args = operation
    build: Callable[..., Command] = globals()[f"build_{kind}"]
    return build(model, made, *args)


def build_publish(
    model: Model, made: list[Publish], users: tuple[str, ...], lifetime: int | None
) -> Command:
    expires_at = None if lifetime is None else START_OF_TIME + lifetime
    new = content(expires_at=expires_at, body="ü" * len(made))
    made.append(Publish(new, users, "producer", new.id))
    return made[-1]


def build_keyed(
    model: Model, made: list[Publish], users: tuple[str, ...], key: str, fingerprint: bytes
) -> Command:
    new = content()
    made.append(Publish(new, users, "p", new.id, Idempotency("p", key, fingerprint)))
    return made[-1]


def build_again(model: Model, made: list[Publish], number: int) -> Command:
    if not made:
        return Withdraw("nothing", START_OF_TIME)
    return made[number % len(made)]


def pick(made: list[Publish], number: int) -> str:
    return made[number % len(made)].content.id if made else "nothing"


def build_update(model: Model, made: list[Publish], number: int, revision: int | None) -> Command:
    return Update(pick(made, number), Patch(title=f"New {number}"), START_OF_TIME, revision)


def build_withdraw(model: Model, made: list[Publish], number: int) -> Command:
    return Withdraw(pick(made, number), START_OF_TIME)


def build_expire(model: Model, made: list[Publish], after: int, limit: int) -> Command:
    return Expire(START_OF_TIME + after, limit)


def build_record(
    model: Model,
    made: list[Publish],
    number: int,
    user: str,
    device: str,
    behind: int,
    attempts: int,
    acknowledged_at: int | None,
    dead: str | None,
) -> Command:
    id_ = pick(made, number)
    known = model.notifications.get(id_)
    row = known.rows.get(user) if known else None
    sequence = max(1, (row.sequence if row else 1) - behind)
    line = DeliveryRecord(
        user, device, id_, sequence, attempts, 9 - attempts, acknowledged_at, dead
    )
    cursors = (DeviceCursor(user, device, sequence, 5),) if acknowledged_at else ()
    return Record((line,), cursors)


def build_attach(
    model: Model, made: list[Publish], user: str, device: str, sequence: int | None, foreign: int
) -> Command:
    epoch = "another" if foreign else model.epoch
    requested = None if sequence is None else Cursor(epoch, sequence)
    return Attach(user, device, requested, START_OF_TIME + 3)
