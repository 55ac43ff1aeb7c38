"""Every store takes user ids as identity providers have them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.persistence.desk_kit import Desk, positions, publish
from tocsin.persistence.store.commands import Changed, Replayed
from tocsin.persistence.store.queries import (
    Deliveries,
    ListSubscribers,
    ReadDeliveries,
    Subscribers,
)
from tocsin.protocol.user_ids import is_user_id

ODD = (
    *("ada", "Ada", "*", "a/b", "a/", "/", "..", "%", "_", "'", '"', '","', "\\", '\\"', "{a,b}"),
    *("NULL", "null", "\\N", "auth0|5f7c", "ada+x@example.org", "https://idp.example/u?id=1#2"),
    # Where the order by code points and that by UTF-16 differ, and where a locale has its own.
    *("\uff5e", "\U00010000", "Ädä", "a\u0308", "ä", "z", "ß", "ss", "😀"),
)
LONGEST = "😀" * 255


def test_they_are_user_ids():
    assert all(map(is_user_id, (*ODD, LONGEST)))


async def test_each_has_a_log_of_their_own(desk):
    changed = await desk.publish(*ODD)
    assert {each.user for each in positions(changed)} == set(ODD)
    for user in ODD:
        await desk.publish(user, title=f"to {user}")
        assert [each.sequence for each in await desk.entries(user)] == [1, 2]


async def test_pages_go_by_code_points(desk: Desk):
    await desk.subscribe("news", *ODD)
    found: list[str] = []
    more = True
    while more:
        page = await desk.ask(ListSubscribers("news", 4, found[-1] if found else None), Subscribers)
        found += page.users
        more = page.more
    assert found == sorted(ODD)


async def test_pages_of_the_ledger_go_by_code_points(desk: Desk):
    changed = await desk.publish(*ODD)
    for place in positions(changed):
        await desk.sent(place.user, "phone", changed.content.id, place.sequence)
    found: list[tuple[str, str]] = []
    more = True
    while more:
        after = found[-1] if found else None
        page = await desk.ask(ReadDeliveries(changed.content.id, 4, after), Deliveries)
        found += [(line.user, line.device) for line in page.lines]
        more = page.more
    assert found == [(user, "phone") for user in sorted(ODD)]


@pytest.mark.parametrize("user", [LONGEST, '"\\' * 127])
async def test_the_longest_fits_into_every_index(desk: Desk, user):
    device, topic, key = "d" * 128, "t" * 128, "k" * 255
    await desk.attach(user, device)
    changed = await desk.publish(user, collapse_key=key)
    await desk.sent(user, device, changed.content.id, 1, attempts=20, dead="unresponsive")
    await desk.subscribe(topic, user)
    await desk.prefer(user, categories={"c" * 64: False})
    assert list(await desk.ledger(changed.content.id)) == [(user, device)]


async def test_the_longest_credential_and_key_fit_into_their_index(desk: Desk):
    command = publish("ada", key="k" * 255 + "#999")
    assert command.idempotency is not None
    long = replace(command.idempotency, credential="😀" * 256)
    command = replace(command, credential="😀" * 256, idempotency=long)
    await desk.one(command, Changed)
    await desk.one(command, Replayed)
