"""The contract of stores for API keys and tickets."""

from __future__ import annotations

import msgspec
import pytest
import trio

from tocsin.persistence.store import StoreFailed
from tocsin.persistence.store.commands import Done, NotFound, TooMany
from tocsin.persistence.store.key_commands import (
    ApiKey,
    BindTicket,
    CreateKey,
    CreateTicket,
    RevokeKey,
    RevokeTickets,
    StoredTicket,
    TakeTicket,
)
from tocsin.persistence.store.queries import FindKey, Keys, ListKeys
from tocsin.persistence.store.user_commands import RemoveDevice
from tocsin.protocol.log.news import DeviceForgotten

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


# --- Tickets of streams ---------------------------------------------------------------------------

STREAM = StoredTicket(b"stream", "ann", 5000, 9000, "web")


async def test_the_ticket_of_a_stream_is_taken_again_and_again(desk):
    await desk.write(CreateTicket(STREAM), CreateTicket(TICKET))

    taken = await desk.write(TakeTicket(b"stream"), TakeTicket(TICKET.hash), TakeTicket(b"stream"))
    assert taken == [STREAM, TICKET, STREAM]
    assert await desk.one(TakeTicket(b"stream"), StoredTicket) == STREAM


async def test_a_ticket_of_a_stream_is_bound_by_the_first_to_use_it(desk):
    await desk.write(CreateTicket(STREAM))
    bound = msgspec.structs.replace(STREAM, origin="https://app.example")

    assert await desk.write(
        BindTicket(b"stream", "https://app.example"), BindTicket(b"stream", "https://evil.example")
    ) == [bound, bound]
    assert await desk.one(BindTicket(b"stream", ""), StoredTicket) == bound
    assert await desk.one(TakeTicket(b"stream"), StoredTicket) == bound


async def test_a_ticket_of_a_stream_may_be_bound_to_no_origin(desk):
    await desk.write(CreateTicket(STREAM))
    await desk.write(BindTicket(b"stream", ""))

    again = await desk.one(BindTicket(b"stream", "https://evil.example"), StoredTicket)
    assert again.origin == ""


async def test_a_ticket_that_many_bind_at_once_is_bound_to_one_origin(desk):
    await desk.write(CreateTicket(STREAM))
    origins: set[str | None] = set()

    async def bind(number: int) -> None:
        bound = await desk.one(BindTicket(b"stream", f"https://{number}.example"), StoredTicket)
        origins.add(bound.origin)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(bind, number)
    assert len(origins) == 1


async def test_a_ticket_that_is_not_for_a_stream_is_not_bound(desk):
    await desk.write(CreateTicket(TICKET))

    assert await desk.write(BindTicket(TICKET.hash, ""), BindTicket(b"nothing", "")) == [
        NotFound(),
        NotFound(),
    ]
    assert await desk.one(TakeTicket(TICKET.hash), StoredTicket) == TICKET


async def test_a_device_has_one_ticket_and_that_is_the_newest(desk):
    newer = msgspec.structs.replace(STREAM, hash=b"newer")
    others = [
        msgspec.structs.replace(STREAM, hash=b"tab", device="tab"),
        msgspec.structs.replace(STREAM, hash=b"bob", user="bob"),
    ]
    await desk.write(CreateTicket(STREAM), *map(CreateTicket, others), CreateTicket(TICKET))
    await desk.write(CreateTicket(newer))

    tickets = [newer, *others, TICKET]
    assert await desk.write(*(TakeTicket(each.hash) for each in tickets)) == tickets
    assert await desk.one(TakeTicket(b"stream"), NotFound)


async def test_a_device_that_is_removed_has_no_ticket_any_more(desk):
    other = msgspec.structs.replace(STREAM, hash=b"tab", device="tab")
    await desk.attach("ann", "web")
    await desk.write(CreateTicket(STREAM), CreateTicket(other))
    assert await desk.write(RemoveDevice("ann", "web")) == [DeviceForgotten("ann", "web")]

    assert await desk.write(TakeTicket(b"stream"), TakeTicket(b"tab")) == [NotFound(), other]


async def test_all_tickets_of_a_user_are_revoked_together(desk):
    bobs = msgspec.structs.replace(STREAM, hash=b"bob", user="bob")
    await desk.write(CreateTicket(STREAM), CreateTicket(TICKET), CreateTicket(bobs))

    assert await desk.write(RevokeTickets("ann"), RevokeTickets("nobody")) == [Done(), Done()]
    hashes = (b"stream", TICKET.hash, b"bob")
    assert await desk.write(*map(TakeTicket, hashes)) == [NotFound(), NotFound(), bobs]


async def test_tickets_of_streams_make_room_the_oldest_first(desk):
    def of_stream(number: int) -> StoredTicket:
        name = f"tab-{number}"
        return msgspec.structs.replace(
            STREAM, hash=name.encode(), device=name, expires_at=5000 + number
        )

    streams = [of_stream(number) for number in range(3)]
    others = msgspec.structs.replace(STREAM, hash=b"bob", user="bob")
    await desk.write(*(CreateTicket(each, 0, 3) for each in [*streams, others]))

    assert await desk.write(CreateTicket(TICKET, 0, 3), CreateTicket(of_stream(3), 0, 3)) == [
        Done(),
        Done(),
    ]
    found = await desk.write(*(TakeTicket(each.hash) for each in [*streams, of_stream(3), others]))
    assert found == [NotFound(), NotFound(), streams[2], of_stream(3), others]


async def test_where_no_ticket_is_of_a_stream_none_makes_room(desk):
    plain = [msgspec.structs.replace(TICKET, hash=bytes([number])) for number in range(3)]
    await desk.write(CreateTicket(plain[0], 0, 2), CreateTicket(STREAM, 0, 2))

    results = await desk.write(CreateTicket(plain[1], 0, 2), CreateTicket(plain[2], 0, 2))
    assert results == [Done(), TooMany(2)]
    assert await desk.one(TakeTicket(STREAM.hash), NotFound)
