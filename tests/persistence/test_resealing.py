"""Secrets are sealed anew under another key, in each kind of database, whatever is under way."""

from __future__ import annotations

import msgspec
import pytest

from tocsin.persistence.upkeep.forgetting import Hands
from tocsin.persistence.upkeep.resealing import Resealed, reseal
from tocsin.protocol.receipts.sink import Secret
from tocsin.protocol.secret_box import (
    SecretBox,
    SecretUnreadable,
    address_context,
    webhook_context,
)

OLD, NEW = b"o" * 32, b"n" * 32
PLAIN, OF_OLD = SecretBox(), SecretBox((OLD,))
BOTH, OF_NEW = SecretBox((NEW, OLD)), SecretBox((NEW,))
_ADDRESS = """
    INSERT INTO addresses (user_id, channel, name, value, fingerprint, created_at)
    VALUES ($1, 'email', 'main', $2, '', 0)
"""
_WEBHOOK = """
    INSERT INTO sinks (id, kind, url, secrets, events, categories, description, batch_max,
        position, state, created_at, seen_at)
    VALUES ('w', 'webhook', '', $1, '', '', '', 1, 0, 'active', 0, 0)
"""


async def put(hands: Hands, user: str, box: SecretBox) -> None:
    await hands.run(_ADDRESS, user, box.seal(f"{user}@x", address_context(user, "email", "main")))


async def read(hands: Hands, box: SecretBox) -> dict[str, str]:
    """The addresses that *box* opens, by user."""
    found = {}
    for user, value in await hands.run("SELECT user_id, value FROM addresses ORDER BY user_id"):
        found[user] = box.open(value, address_context(user, "email", "main"))
    return found


def test_all_is_sealed_with_the_first_key_and_only_once(on_hands):
    async def work(hands: Hands) -> None:
        for number in range(600):  # more than a page
            await put(hands, f"u{number:03}", (PLAIN, OF_OLD, OF_NEW)[number % 3])
        secrets = [
            Secret(OF_OLD.seal("whsec_a", webhook_context("w"))),
            Secret(OF_NEW.seal("whsec_b", webhook_context("w")), 7),
        ]
        await hands.run(_WEBHOOK, msgspec.json.encode(secrets).decode())

        assert await reseal(hands, BOTH) == Resealed(400, 1, 0)
        assert await read(hands, OF_NEW) == {f"u{n:03}": f"u{n:03}@x" for n in range(600)}
        [[text]] = await hands.run("SELECT secrets FROM sinks")
        kept = msgspec.json.decode(text, type=list[Secret])
        opened = [OF_NEW.open(each.text, webhook_context("w")) for each in kept]
        assert (opened, [each.until for each in kept]) == (["whsec_a", "whsec_b"], [None, 7])
        assert await reseal(hands, BOTH) == Resealed()

    on_hands(work)


def test_a_secret_that_no_key_opens_stays_as_it_is(on_hands):
    async def work(hands: Hands) -> None:
        await put(hands, "ann", OF_OLD)
        await put(hands, "bob", PLAIN)

        assert await reseal(hands, OF_NEW) == Resealed(1, 0, 1)
        with pytest.raises(SecretUnreadable):
            await read(hands, OF_NEW)
        assert await read(hands, BOTH) == {"ann": "ann@x", "bob": "bob@x"}

    on_hands(work)


class _Meanwhile:
    """Hands, between whose reading and writing a node sets the address of ann anew."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self.find = hands.find
        self.texts = hands.texts

    async def run(self, sql: str, *parameters: str):
        rows = await self._hands.run(sql, *parameters)
        if "FROM addresses" in sql and rows:
            value = OF_NEW.seal("new@x", address_context("ann", "email", "main"))
            await self._hands.run("UPDATE addresses SET value = $1", value)
        return rows

    def transaction(self):
        return self._hands.transaction()


def test_an_address_that_is_set_meanwhile_stays(on_hands):
    async def work(hands: Hands) -> None:
        await put(hands, "ann", OF_OLD)
        await reseal(_Meanwhile(hands), BOTH)

        assert await read(hands, OF_NEW) == {"ann": "new@x"}

    on_hands(work)


@pytest.mark.parametrize(
    ("box", "sealer", "is_current"),
    [
        (BOTH, OF_NEW, True),
        (BOTH, OF_OLD, False),
        (BOTH, PLAIN, False),
        (PLAIN, PLAIN, True),
        (PLAIN, OF_OLD, False),
    ],
)
def test_a_box_knows_what_its_first_key_has_sealed(box, sealer, is_current):
    assert box.is_current(sealer.seal("text", "context")) is is_current
