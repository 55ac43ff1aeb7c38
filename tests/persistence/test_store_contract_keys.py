"""What every store does with API keys and tickets."""

from __future__ import annotations

import pytest
import trio

from tocsin.persistence.store import (
    ApiKey,
    CreateKey,
    CreateTicket,
    Done,
    FindKey,
    Keys,
    ListKeys,
    NotFound,
    RevokeKey,
    StoredTicket,
    StoreFailed,
    TakeTicket,
)

KEY = ApiKey("key-1", b"\x00\xff hash", ("notify", "admin"), "Producer ü", 5)
TICKET = StoredTicket(b"\x00\xff", "ann", 1000, None)


async def test_a_key_is_found_by_its_id(desk):
    assert await desk.write(CreateKey(KEY)) == [Done()]

    assert await desk.read(FindKey("key-1"), FindKey("key-2")) == [KEY, NotFound()]


async def test_a_key_without_scopes_stays_without(desk):
    bare = ApiKey("bare", b"hash", (), "", 5)
    await desk.write(CreateKey(bare))

    assert await desk.ask(FindKey("bare"), ApiKey) == bare


async def test_creating_a_key_may_be_repeated_but_never_changes_one(desk):
    assert await desk.write(CreateKey(KEY), CreateKey(KEY)) == [Done(), Done()]
    assert await desk.write(CreateKey(KEY)) == [Done()]

    with pytest.raises(StoreFailed):
        await desk.write(CreateKey(ApiKey("key-1", b"another", (), "", 6)))
    assert await desk.ask(FindKey("key-1"), ApiKey) == KEY


async def test_a_revoked_key_keeps_the_time_of_its_first_revocation(desk):
    results = await desk.write(CreateKey(KEY), RevokeKey("key-1", 8), RevokeKey("key-1", 9))
    assert results == [Done(), Done(), Done()]
    await desk.write(RevokeKey("key-1", 10))

    assert (await desk.ask(FindKey("key-1"), ApiKey)).revoked_at == 8
    assert await desk.one(RevokeKey("nothing", 8), NotFound)


async def test_keys_are_listed_oldest_first(desk):
    assert await desk.ask(ListKeys(), Keys) == Keys(())
    young = ApiKey("a", b"1", (), "young", 20)
    old = ApiKey("z", b"2", ("notify",), "old", 10)
    await desk.write(CreateKey(young), CreateKey(old))

    assert await desk.ask(ListKeys(), Keys) == Keys((old, young))


async def test_a_ticket_is_taken_once(desk):
    other = StoredTicket(b"other", "bob", 2000, 3000)
    await desk.write(CreateTicket(TICKET), CreateTicket(other))

    assert await desk.write(TakeTicket(TICKET.hash), TakeTicket(TICKET.hash)) == [
        TICKET,
        NotFound(),
    ]
    assert await desk.write(TakeTicket(TICKET.hash), TakeTicket(b"other")) == [NotFound(), other]


async def test_a_ticket_that_many_take_at_once_goes_to_one(desk):
    await desk.write(CreateTicket(TICKET))
    results: list[object] = []

    async def take() -> None:
        results.extend(await desk.write(TakeTicket(TICKET.hash)))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(take)

    assert results.count(TICKET) == 1
    assert results.count(NotFound()) == 7
