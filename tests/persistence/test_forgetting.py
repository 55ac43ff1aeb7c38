"""Forgetting a user: of each table, also of those that later releases bring."""

from __future__ import annotations

import base64

import pytest

from tocsin.persistence.upkeep.forgetting import (
    FORGOTTEN,
    Hands,
    Person,
    claimed_keys,
    forget,
    survey,
)
from tocsin.persistence.upkeep.tables import TABLES

ANN = Person("ann", ("jwt::ann",))
LETTER = {"connector": "orders", "encoding": "text", "headers": "{}", "history": "[]"}


async def columns(hands: Hands, table: str) -> dict[str, str]:
    """The columns of *table* that need a value, or hold a text, with the literal of some value."""
    if hands.find == "instr":
        rows = await hands.run(f"SELECT name, type, \"notnull\" FROM pragma_table_info('{table}')")
    else:
        rows = await hands.run(
            "SELECT column_name, data_type, is_nullable || is_identity = 'NONO'"
            f" FROM information_schema.columns WHERE table_name = '{table}'"
        )
    literals = {"text": "'x'", "bytea": "''", "blob": "x''", "boolean": "true"}
    return {name: literals.get(kind.lower(), "1") for name, kind, needed in rows if needed}


async def insert(hands: Hands, table: str, **values: str) -> None:
    literals = await columns(hands, table) | {
        name: "'" + value.replace("'", "''") + "'" for name, value in values.items()
    }
    await hands.run(
        f"INSERT INTO {table} ({', '.join(literals)}) VALUES ({', '.join(literals.values())})"
    )


async def tables_of_users(hands: Hands) -> list[str]:
    return [table for table in TABLES if "user_id" in await hands.texts(table)]


async def count(hands: Hands, table: str) -> int:
    [[found]] = await hands.run(f"SELECT count(*) FROM {table}")
    return int(found)


def test_no_table_keeps_a_row_of_the_user_and_each_keeps_those_of_others(on_hands):
    async def work(hands: Hands) -> None:
        tables = await tables_of_users(hands)
        assert {"inbox", "sends", "addresses", "receipts", "sink_letters"} <= {*tables}
        for table in tables:
            # Numbers are alike in both rows, and in some tables unlike rows need unlike ones.
            await insert(hands, table, user_id="ann")
            before = await count(hands, table)
            assert (await survey(hands, ANN)).rows[table] == before
            await forget(hands, ANN)
            assert await count(hands, table) == 0, table
            await insert(hands, table, user_id="ben")
            await forget(hands, ANN)
            assert await count(hands, table) == 1, table
        assert (await survey(hands, ANN)).rows == {}

    on_hands(work)


def test_a_notification_of_one_user_takes_its_plan_with_it(on_hands):
    async def work(hands: Hands) -> None:
        for id_, users in {"n1": ["ann"], "n2": ["ann", "ben"]}.items():
            await insert(hands, "notifications", id=id_, credential="jwt::ann")
            await insert(hands, "escalations", notification_id=id_, after_user="ann")
            for place, user in enumerate(users):
                row = {"notification_id": id_, "user_id": user, "sequence": f"{place}{id_[1]}"}
                await insert(hands, "inbox", **row)
        await insert(hands, "idempotency", credential="jwt::ann", key="k")
        assert await claimed_keys(hands, ANN) == {("jwt::ann", "k")}

        await forget(hands, ANN)

        [[plan, after]] = await hands.run("SELECT notification_id, after_user FROM escalations")
        assert (plan, after) == ("n2", "")
        [[left, credential]] = await hands.run("SELECT id, credential FROM notifications")
        assert (left, credential) == ("n2", FORGOTTEN)
        assert await claimed_keys(hands, ANN) == set()
        assert (await survey(hands, ANN)).rows == {}

    on_hands(work)


def test_messages_of_brokers_that_name_the_user_go_whatever_they_are_written_in(on_hands):
    async def work(hands: Hands) -> None:
        binary = base64.b64encode(b'\xff{"to":{"users":["ann"]}}').decode()
        other = base64.b64encode(b'\xff{"to":{"users":["anna"]}}').decode()
        for id_, values in enumerate(
            [
                {"body": '{"to":{"users":["ben","ann"]}}'},
                {"body": binary, "encoding": "base64"},
                {"body": "", "headers": '{"user":"ann"}'},
                {"body": "", "correlation": "ann"},
                {"body": "", "problem": '{"detail":"no","users":["ann"]}'},
                {"body": other, "encoding": "base64"},
            ]
        ):
            place = {"id": str(id_), "place": str(id_)}
            await insert(hands, "ingest_letters", **(LETTER | place | values))
        assert (await survey(hands, ANN)).rows == {"ingest_letters": 2}

        await forget(hands, ANN)

        [[left]] = await hands.run("SELECT body FROM ingest_letters")
        assert left == other
        assert (await survey(hands, ANN)).rows == {}

    on_hands(work)


def test_other_things_with_the_users_name_are_told_and_kept(on_hands):
    async def work(hands: Hands) -> None:
        await insert(hands, "topics", topic="ann")
        await insert(hands, "api_keys", name="ann")
        await insert(hands, "subscriptions", user_id="ben", topic="ann")
        await insert(hands, "subscriptions", user_id="ann", topic="ann")
        await insert(hands, "devices", user_id="ben", device_id="ann")

        await forget(hands, ANN)

        named = await survey(hands, ANN)
        assert named.rows == {}
        assert named.namesakes == {"topics": 1, "api_keys": 1, "subscriptions": 1, "devices": 1}

    on_hands(work)


@pytest.mark.parametrize(
    ("credential", "owned"),
    [
        ("jwt::ann", True),
        ("jwt:https//elsewhere:ann", True),
        ("ticket:ann", True),
        ("key:ann", False),
        ("jwt::anna", False),
        ("jwt::ben:ann", False),
    ],
)
def test_a_credential_is_the_users_if_it_ends_in_the_name(credential: str, owned: bool):
    assert ANN.owns(credential) == owned
