"""Any marks, changes, expiries and purges, in any batches: a store does what `mark_model` does."""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.persistence.databases_kit import AnyStore, Database, PostgresDatabase, SqliteMemory
from tests.persistence.desk_kit import START_OF_TIME, Desk, content
from tests.persistence.mark_model_kit import UserModel
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Publish, Update, Withdraw
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Purge, Purged
from tocsin.persistence.store.user_commands import MarkInbox
from tocsin.protocol.notifications.notification import Patch, State

USERS = ("ann", 'b/"ö\\|b')

# Which notification an operation is about is a number that is taken modulo how many there are, so
# that shrinking one operation leaves the others what they were.
which = st.integers(0, 9)
user = st.sampled_from(USERS)
mark = st.sampled_from(["seen", "read", "unread", "archived"])
target = st.one_of(
    st.tuples(st.just("ids"), st.lists(which, max_size=4)),
    st.tuples(st.just("through"), st.integers(0, 12)),
    st.tuples(st.just("all"), st.none()),
)
marks = st.tuples(st.just("mark"), user, mark, target, st.sampled_from([1, 2, 100]))
publishes = st.tuples(
    st.just("publish"),
    st.lists(user, min_size=1, max_size=2, unique=True),
    st.none() | st.integers(1, 20),
)
operations = st.one_of(
    *(marks, marks, marks, publishes, publishes),
    st.tuples(st.just("update"), which),
    st.tuples(st.just("withdraw"), which),
    st.tuples(st.just("expire")),
    st.tuples(st.just("purge"), st.integers(0, 10)),
)
batches = st.lists(st.lists(operations, min_size=1, max_size=8), max_size=10)


@given(batches=batches)
@settings(deadline=None, max_examples=300)
def test_sqlite_marks_as_the_model_does(batches):
    run(SqliteMemory(), batches)


@given(batches=batches)
@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_postgres_marks_as_the_model_does(postgres_url, batches):
    run(PostgresDatabase(postgres_url), batches)


def run(database: Database, batches: list[list[Any]]) -> None:
    async def main() -> None:
        async with database.running():
            store = database.store()
            await store.open()
            try:
                if isinstance(database, PostgresDatabase):
                    await database.execute("TRUNCATE notifications, inbox, users, dead_letters")
                await compare(store, batches)
            finally:
                await store.aclose()

    trio.run(main)


async def compare(store: AnyStore, batches: list[list[Any]]) -> None:
    inboxes = {name: UserModel() for name in USERS}
    made: list[Publish] = []
    for now_ms, batch in enumerate(batches, START_OF_TIME):
        commands = [command_of(operation, made, now_ms) for operation in batch]
        results = await store.write(commands)
        # Within a batch, marks come behind what producers do, and purges behind both.
        order = sorted(range(len(commands)), key=lambda number: phase(commands[number]))
        for number in order:
            right = apply(commands[number], inboxes)
            assert right is None or results[number] == right
        desk = Desk(store)
        desk.now_ms = START_OF_TIME
        for name, inbox in inboxes.items():
            await compare_inbox(desk, name, inbox)


def command_of(operation: Any, made: list[Publish], now_ms: int) -> Command[Any]:
    kind, *args = operation
    ids = [publish.content.id for publish in made] or ["nothing"]
    match kind:
        case "publish":
            users, lifetime = args
            expires_at = None if lifetime is None else now_ms + lifetime
            made.append(
                Publish(content(now_ms=now_ms, expires_at=expires_at), tuple(users), "producer")
            )
            return made[-1]
        case "mark":
            name, word, (form, value), limit = args
            named = tuple(ids[number % len(ids)] for number in value) if form == "ids" else None
            through = value if form == "through" else None
            return MarkInbox(name, word, now_ms, named, through, limit)
        case "update":
            return Update(ids[args[0] % len(ids)], Patch(title="New"), now_ms)
        case "withdraw":
            return Withdraw(ids[args[0] % len(ids)], now_ms)
        case "expire":
            return Expire(now_ms, 100)
    before = now_ms - args[0]
    return Purge(0, 0, archived_before=before, expired_before=before)


def phase(command: Command[Any]) -> int:
    return [MarkInbox, Purge].index(type(command)) if type(command) in (MarkInbox, Purge) else -1


def apply(command: Command[Any], inboxes: dict[str, UserModel]) -> Result | None:
    """Do *command* to the models; what the store has to answer, as far as they know."""
    match command:
        case Publish():
            for name in command.users:
                inboxes[name].publish(command.content.id, command.content.expires_at)
        case Update() | Withdraw():
            for inbox in inboxes.values():
                inbox.touch(command.notification, withdraw=isinstance(command, Withdraw))
        case Expire():
            for inbox in inboxes.values():
                inbox.expire(command.now_ms)
        case MarkInbox():
            return inboxes[command.user].mark(command)
        case Purge():
            purged = [inbox.purge(command.archived_before) for inbox in inboxes.values()]
            return Purged(sum(each.rows for each in purged), more=False)
    return None


async def compare_inbox(desk: Desk, name: str, inbox: UserModel) -> None:
    page = await desk.page(name, limit=1000)
    assert (page.head, page.horizon, page.counters) == (inbox.head, inbox.horizon, inbox.counters)
    listed = await desk.inbox(name, states=tuple(State), limit=1000)
    items = [item for item in inbox.items if item.expired_at is None]
    assert [(item.created_sequence, item.state) for item in listed.items] == [
        (item.created, item.state) for item in reversed(items)
    ]
    assert [(item.seen_at, item.read_at) for item in listed.items] == [
        (item.seen_at, item.read_at) for item in reversed(items)
    ]
    replayed = {entry.notification: entry.sequence for entry in page.entries}
    assert replayed == {
        item.notification: item.sequence for item in items if item.state != State.WITHDRAWN
    }
