"""Nodes go on with anything in Redis that another program put there, and heed none of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio

from tests.persistence.services_kit import (
    RedisService,
    append,
    hear,
    opened,
    said,
)
from tocsin.persistence.bus import (
    BusUnavailable,
    Claim,
    Connected,
    Lease,
    Replaying,
    Spool,
    SpoolDraft,
    SpoolEntry,
)
from tocsin.persistence.redis.presence import RedisPresence
from tocsin.persistence.redis.resp import BULK_BYTES_MAX
from tocsin.persistence.redis.scripts import (
    ENTRY_BYTES_MAX,
    EXCERPT_BYTES,
    FOREIGN_BYTES_MAX,
    LAST_ID,
)
from tocsin.persistence.redis.spool import FOREIGN_MAX, RedisSpool
from tocsin.protocol.cluster.seals import Purpose, Seals

pytestmark = pytest.mark.parametrize("service", ["redis"], indirect=True)

SPOOL = "tocsin:spool"
HOUR_MS = 3_600_000


@pytest.fixture
def spool(service: RedisService) -> RedisSpool:
    return service.spool("node-a")


def refusals(service: RedisService, node: str = "node-a") -> Mapping[tuple[str, str], int]:
    return service.client(node).refusals.counts


async def take(spool: Spool, limit: int = 256) -> list[SpoolEntry]:
    entries = await spool.take("node-a", limit, 30)
    assert entries is not None
    return list(entries)


async def drain(spool: Spool) -> list[bytes]:
    """Take all there is, put aside what is faulty; the payloads of the rest."""
    found = []
    while entries := await take(spool):
        await spool.poison("node-a", [(each, each.fault) for each in entries if each.fault])
        good = [each for each in entries if not each.fault]
        await spool.done("node-a", [each.id for each in good])
        found += [each.payload for each in good]
    return found


# --- The spool ------------------------------------------------------------------------------------

FOREIGN: dict[str, tuple[dict[bytes | str, Any], str]] = {
    "no_payload": ({"x": "y"}, "no_payload"),
    "names that are no text": ({b"\xff\xfe": b"\x00\xff"}, "no_payload"),
    "hundreds of fields": ({f"f{n}": "x" for n in range(500)}, "no_payload"),
    "without a seal": ({"payload": '{"v":1}'}, "unsealed"),
    "bytes that are no text": ({"payload": b"\xff\x00", "at": b"\xff", "seal": b"\xff"}, "forged"),
    "a seal of nothing": ({"payload": "x", "at": "1", "seal": "00" * 16}, "forged"),
    "a long seal": ({"payload": "x", "at": "9" * 5000, "seal": "0" * 5000}, "forged"),
    "too_large": ({"payload": b"x" * (ENTRY_BYTES_MAX + 1)}, "too_large"),
    "a large name": ({b"x" * 1_000_000: "y"}, "no_payload"),
}


@pytest.mark.parametrize(("fields", "fault"), FOREIGN.values(), ids=FOREIGN)
async def test_an_entry_of_any_shape_is_taken_with_its_fault_and_can_be_put_aside(
    service, spool, intruder, fields, fault
):
    await append(spool, b"1")
    intruder.xadd(SPOOL, fields)
    await append(spool, b"2")

    first, foreign, last = await take(spool)
    assert [first.payload, last.payload] == [b"1", b"2"]
    assert (first.fault, foreign.fault, last.fault) == ("", fault, "")
    assert len(foreign.payload) <= EXCERPT_BYTES
    assert await drain(spool) == [b"1", b"2"]

    [(aside, reason)] = await spool.poisoned(10)
    assert (aside.id, reason) == (foreign.id, fault)
    assert refusals(service) == {("spool_entry", fault): 1}
    assert await spool.replay(foreign.id) is Replaying.REFUSED
    assert await spool.discard(foreign.id)
    assert await spool.poisoned(10) == []


async def test_an_entry_is_of_one_cluster_and_of_its_time(service, spool, intruder):
    elsewhere = RedisSpool(
        service.client("node-a"), service.seals("node-a", "another secret"), service.now_ms
    )
    await append(elsewhere, b"elsewhere")
    await append(spool, b"ours")
    [(_, ours)] = intruder.xrange(SPOOL)[1:]
    intruder.delete(SPOOL)

    later = round(service.now_ms() + 3 * HOUR_MS)
    intruder.xadd(SPOOL, {**ours, b"payload": b"other"})
    intruder.xadd(SPOOL, {**ours, b"at": b"7"})
    intruder.xadd(SPOOL, ours)
    intruder.xadd(SPOOL, ours, id=f"{later}-0")
    assert [each.fault for each in await take(spool)] == ["forged", "forged", "", "misplaced"]


async def test_a_million_foreign_entries_drive_out_none_of_ours(service, spool, intruder):
    await append(spool, b"refused by the store")
    [ours] = await take(spool)
    await spool.poison("node-a", [(ours, "bad")])
    many = FOREIGN_MAX * 4  # stands for the million: it is bounded by number
    pipeline = intruder.pipeline()
    for number in range(many):
        pipeline.xadd(SPOOL, {"payload": b"x" * FOREIGN_BYTES_MAX * 2, "n": number})
    pipeline.execute()
    await append(spool, b"good")

    assert await drain(spool) == [b"good"]

    assert intruder.xlen("tocsin:spool:foreign") == FOREIGN_MAX
    assert intruder.memory_usage("tocsin:spool:foreign", samples=0) < FOREIGN_MAX * 40_000
    shown = await spool.poisoned(1000)
    assert len(shown) == FOREIGN_MAX + 1
    assert shown[-1] == (ours, "bad")
    assert max(len(entry.payload) for entry, _ in shown) <= EXCERPT_BYTES
    assert await spool.discard(ours.id)


async def test_an_unsealed_entry_is_replayed_if_an_operator_vouches_and_it_is_whole(
    service, spool, intruder
):
    intruder.xadd(SPOOL, {"payload": "of an older release"})
    intruder.xadd(SPOOL, {"payload": "x" * (FOREIGN_BYTES_MAX + 1)})
    old, cut = await take(spool)
    assert await drain(spool) == []

    assert await spool.replay(old.id) is Replaying.REFUSED
    assert await spool.replay(old.id, vouched=True) is Replaying.DONE
    assert await spool.replay(cut.id, vouched=True) is Replaying.REFUSED
    assert await drain(spool) == [b"of an older release"]


async def test_an_entry_set_aside_is_replayed_only_as_it_was_put_there(spool, intruder):
    await append(spool, b"ours")
    [ours] = await take(spool)
    await spool.poison("node-a", [(ours, "bad")])
    [(place, fields)] = intruder.xrange("tocsin:spool:poisoned")
    intruder.xdel("tocsin:spool:poisoned", place)
    intruder.xadd("tocsin:spool:poisoned", {**fields, b"payload": b"swapped"})
    intruder.xadd("tocsin:spool:poisoned", {b"\xff": b"\xff"})
    intruder.xadd("tocsin:spool:poisoned", {"id": "x" * 1000, "reason": b"\xff" * 100_000})

    assert await spool.replay(ours.id, vouched=True) is Replaying.REFUSED
    shown = await spool.poisoned(10)
    assert len(shown) == 3
    for entry, reason in shown:
        assert len(entry.id) <= 64
        assert len(reason) <= 300
        assert await spool.discard(entry.id)
    assert await spool.poisoned(10) == []


@pytest.mark.parametrize("id_", [LAST_ID, f"{2**64 - 2}-5", "99999999999999-0"])
async def test_an_entry_with_the_highest_id_leaves_room_for_those_behind_it(spool, intruder, id_):
    await append(spool, b"1")
    intruder.execute_command("XADD", SPOOL, id_, "payload", "x")
    assert [each.payload for each in await take(spool)] == [b"1", b"x"]
    await append(spool, b"2")
    assert [each.payload for each in await take(spool)] == [b"1", b"x", b"2"]
    assert await drain(spool) == [b"1", b"2"]
    await append(spool, b"3")
    assert await drain(spool) == [b"3"]


@pytest.mark.parametrize("lifetime", [None, 10_000_000])
async def test_a_lease_that_no_node_has_made_keeps_nobody_away(spool, intruder, lifetime):
    intruder.set("tocsin:spool:lease", b"\xff" * 1000, px=lifetime)
    await append(spool, b"1")
    assert await drain(spool) == [b"1"]


@pytest.mark.parametrize("run", [b"\xff", b"", b"1" * 100_000, b"a-b"])
async def test_a_run_that_no_node_has_begun_is_none(spool, intruder, run):
    await append(spool, b"1")
    intruder.set("tocsin:spool:run", run)
    appended = await spool.append([SpoolDraft(b"2")])
    assert appended.run == (await take(spool))[1].id


@pytest.mark.parametrize(
    "fields",
    [
        {"fingerprint": "print", "answer": '{"id":"of the intruder"}'},
        {"fingerprint": b"print", "answer": b"\xff", "seal": b"\xff"},
        {"answer": "x" * 1_000_000, "seal": "y" * 1_000_000},
        {"other": "field"},
    ],
)
async def test_a_claim_that_no_node_has_made_is_none(service, spool, intruder, fields):
    claim = Claim("producer key", b"print", "the answer")
    intruder.hset("tocsin:spool:claim:producer key", mapping=fields)

    appended = await spool.append([SpoolDraft(b"1"), SpoolDraft(b"2", claim), SpoolDraft(b"3")])

    assert appended.earlier == (None, None, None)
    assert await drain(spool) == [b"1", b"3", b"2"]
    assert sum(refusals(service).values()) == 1
    assert await append(spool, b"again", claim) == claim


async def test_a_claim_is_of_one_key(spool, intruder):
    await append(spool, b"1", Claim("one", b"print", "answer"))
    intruder.hset("tocsin:spool:claim:two", mapping=intruder.hgetall("tocsin:spool:claim:one"))
    assert await append(spool, b"2", Claim("two", b"print", "answer")) is None


async def test_where_the_clocks_are_far_apart_nothing_is_accepted(service):
    true = service.now_ms
    service.now_ms = lambda: true() + 2 * HOUR_MS
    spool = service.spool("node-a")
    with pytest.raises(BusUnavailable, match="too far apart"):
        await append(spool, b"1")
    assert await spool.size() == 0


# --- Keys of another kind -------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["spool", "spool:poisoned", "spool:foreign"])
@pytest.mark.parametrize("kind", ["string", "list"])
async def test_where_something_else_stands_instead_of_a_stream_it_is_removed(
    service, spool, intruder, key, kind
):
    if kind == "string":
        intruder.set(f"tocsin:{key}", "not a stream")
    else:
        intruder.lpush(f"tocsin:{key}", "not a stream")

    await append(spool, b"1")
    await append(spool, b"2")
    [first, _] = await take(spool)
    await spool.poison("node-a", [(first, "bad"), (SpoolEntry("1-1", b"", "forged"), "?")])
    assert await spool.poisoned(10) == [(first, "bad")]
    assert await spool.replay(first.id) is Replaying.DONE
    assert await drain(spool) == [b"2", b"1"]
    assert await spool.size() == 0
    assert refusals(service)["key", "wrong_kind"] == 1


@pytest.mark.parametrize("key", ["spool:lease", "spool:run", "spool:claim:key"])
async def test_where_something_else_stands_instead_of_a_word_it_is_removed(
    service, spool, intruder, key
):
    await append(spool, b"0")
    intruder.delete(f"tocsin:{key}")
    intruder.lpush(f"tocsin:{key}", "a list")
    await append(spool, b"1", Claim("key", b"print", "answer"))
    assert (await drain(spool))[-1] == b"1"
    assert refusals(service) == {("key", "wrong_kind"): 1}


async def test_where_something_else_stands_instead_of_leases_or_marks_it_is_removed(
    service, intruder
):
    phone, presence = Lease("ada", "phone", "node-a", 1), service.presence("node-a")
    for wrong in (intruder.set, intruder.lpush):
        wrong("tocsin:presence:ada", "x")
        await presence.hold([phone, Lease("bob", "x", "node-a", 1)], 30)
        assert await presence.devices_of("ada") == (Connected("phone", "node-a", 1),)
        intruder.delete("tocsin:presence:ada")
        wrong("tocsin:presence:ada", "x")
        assert await presence.devices_of("ada") == ()
        wrong("tocsin:presence:ada", "x")
        await presence.release([phone])
    async with opened(service.bus("node-a")) as bus:
        intruder.set("tocsin:disconnected", "x")
        assert await bus.disconnected() == {}
        intruder.set("tocsin:disconnected", "x")
        await bus.keep_disconnected([b"mark"])
        assert (await bus.disconnected()).keys() == {b"mark"}


# --- Presence -------------------------------------------------------------------------------------


async def test_leases_that_no_node_has_made_are_passed_over(service, intruder):
    presence = service.presence("node-a")
    await presence.hold([Lease("ada", "phone", "node-a", 1)], 30)
    [(ours, ends)] = intruder.zrange("tocsin:presence:ada", 0, -1, withscores=True)
    forged: dict[bytes | str, float] = {
        b"": ends,
        b"\xff": ends,
        b'["tv","node-a",1]': ends,
        b"\x00" * 16 + b'["tv","node-a",1]': ends,
        b"x" * 100_000: ends,
        b"for ever": float("inf"),
        b"beyond": 1e300,
    }
    intruder.zadd("tocsin:presence:ada", forged)
    intruder.zadd("tocsin:presence:bob", {ours: ends})

    assert await presence.devices_of("ada") == (Connected("phone", "node-a", 1),)
    assert await presence.devices_of("bob") == ()
    await presence.hold([Lease("ada", "web", "node-a", 2)], 30)
    assert len(await presence.devices_of("ada")) == 2
    assert not {b"for ever", b"beyond"} & set(intruder.zrange("tocsin:presence:ada", 0, -1))
    assert 0 < intruder.pttl("tocsin:presence:ada") <= 30_000
    assert refusals(service)["presence", "forged"] > 0


async def test_of_very_many_leases_of_one_user_some_are_looked_at(service, intruder):
    presence = service.presence("node-a")
    ends = service.now_ms() + 30_000
    intruder.zadd("tocsin:presence:ada", {f"forged-{n}": ends + n for n in range(20_000)})
    with trio.fail_after(5):
        assert await presence.devices_of("ada") == ()
    assert refusals(service) == {("presence", "forged"): 1000}


# --- The bus --------------------------------------------------------------------------------------


async def test_marks_of_any_bytes_and_moment_are_read(service, intruder):
    async with opened(service.bus("node-a")) as bus:
        await bus.keep_disconnected([b"ours"])
        forged: dict[bytes | str, float] = {b"\xff": 1e300, b"x" * 100_000: 1e13}
        intruder.zadd("tocsin:disconnected", forged)
        intruder.zadd("tocsin:disconnected", {b"for ever": float("inf")})
        ages = await bus.disconnected()
        assert ages.keys() == {b"ours", b"\xff", b"for ever"}
        assert 0 <= ages[b"ours"] < 10


async def test_a_message_of_any_length_is_passed_over_and_what_follows_is_heard(service, intruder):
    async with opened(service.bus("node-a")) as bus:
        await bus.subscribe(["c"])
        channel = service.client("node-a").place + "c"
        intruder.publish(channel, b"x" * (BULK_BYTES_MAX * 2))
        intruder.publish(channel, b"\xff")
        assert await hear(bus, 1) == said("c", b"\xff")
    assert refusals(service) == {("envelope", "too_large"): 1}


# --- Before the secret is known -------------------------------------------------------------------


async def test_without_the_secret_nothing_is_spooled_or_told(service):
    client = service.client("node-a")
    unknown = Seals(client.place)
    spool = RedisSpool(client, unknown, service.now_ms)
    presence = RedisPresence(client, unknown[Purpose.PRESENCE])
    with pytest.raises(BusUnavailable, match="secret"):
        await append(spool, b"1")
    with pytest.raises(BusUnavailable, match="secret"):
        await presence.hold([Lease("ada", "phone", "node-a", 1)], 30)
    assert await spool.size() == 0
