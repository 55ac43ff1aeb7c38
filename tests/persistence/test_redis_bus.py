"""Faults of Redis alone: a server that stops, hangs, forgets, refuses, and cuts connections off.

Each trouble comes in a bounded version; with --faults, some last longer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import pytest
import trio

from servers.redis import Redis
from tests.persistence.services_kit import (
    CHANNELS,
    RedisService,
    append,
    becomes_possible,
    gap,
    hear,
    hear_until,
    joined,
    opened,
    said,
)
from tocsin.persistence.bus import Bus, BusUnavailable, Claim, Lease, Spool
from tocsin.persistence.redis.bus import RedisBus
from tocsin.persistence.redis.client import RedisClient

# Servers are stopped, and how soon that is noticed is the matter.
pytestmark = pytest.mark.alone

NOTICED = 4
"""Seconds in which a node notices that Redis hangs, as the product page promises."""


async def in_thread(work: Callable[[], object]) -> None:
    await trio.to_thread.run_sync(work)


async def expect_talk(ann: Bus, ben: Bus) -> None:
    """*ann* says something on every channel, and *ben* hears all of it."""
    await becomes_possible(lambda: ann.publish(said("u:0", b"there?")))
    words = [said(channel, b"word")[0] for channel in CHANNELS]
    await ann.publish(words)
    heard = await hear_until(ben, lambda each: each == words[-1])
    assert [each for each in heard if each in words] == words


# --- The server goes away and comes back --------------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_after_a_restart_all_channels_are_a_gap_and_are_heard_again(own_redis, mode):
    async with joined(own_redis) as (ann, ben):
        await in_thread(lambda: own_redis.restart(mode))
        assert await gap(ben) == sorted(CHANNELS)
        await expect_talk(ann, ben)


async def test_the_first_publication_after_a_quick_restart_succeeds(own_redis):
    async with joined(own_redis) as (ann, _):
        await in_thread(own_redis.restart)
        await ann.publish(said("u:0", b"x"))


async def test_while_the_server_is_away_calls_fail_at_once_and_receiving_waits(own_redis):
    async with joined(own_redis) as (ann, ben):
        await in_thread(own_redis.stop)
        with trio.fail_after(1):
            await expect_refusals(ann)
            await expect_refusals(ann)
            await ben.unsubscribe(["u:19"])
        with trio.move_on_after(0.2) as waiting:
            await ben.receive()
        assert waiting.cancelled_caught


async def test_a_subscription_made_while_the_server_was_away_is_heard_when_it_is_back(own_redis):
    async with joined(own_redis) as (ann, ben):
        await in_thread(own_redis.stop)
        await becomes_impossible(lambda: ben.subscribe(["u:new"]))
        await ben.unsubscribe(["u:19"])

        await in_thread(own_redis.start)

        assert await gap(ben) == sorted([*CHANNELS[:-1], "u:new"])
        await becomes_possible(lambda: ann.publish([*said("u:19", b"x"), *said("u:new", b"y")]))
        assert await hear(ben, 1) == said("u:new", b"y")


async def test_a_server_that_is_away_at_the_start_can_be_opened_later(own_redis):
    await in_thread(own_redis.stop)
    service = RedisService(own_redis.url)
    async with service.running():
        bus = service.bus("node-a")
        with pytest.raises(BusUnavailable):
            await bus.open()
        await in_thread(own_redis.start)
        await becomes_possible(bus.open)
        await bus.subscribe(["u:0"])
        await bus.publish(said("u:0", b"x"))
        assert await hear(bus, 1) == said("u:0", b"x")
        await bus.aclose()


# --- The server hangs ---------------------------------------------------------------------------


async def test_a_server_that_hangs_is_noticed_and_heard_again_when_it_goes_on(own_redis):
    async with joined(own_redis, timeout=0.5) as (ann, ben):
        await pause_for(own_redis, 2, ann)
        assert await gap(ben) == sorted(CHANNELS)
        await expect_talk(ann, ben)


@pytest.mark.faults
async def test_a_server_that_hangs_for_ten_seconds_is_noticed_within_four(own_redis):
    async with joined(own_redis) as (ann, ben):
        await pause_for(own_redis, 10, ann)
        assert await gap(ben) == sorted(CHANNELS)
        await expect_talk(ann, ben)


async def test_a_server_that_has_nothing_to_say_is_not_taken_to_hang(own_redis):
    async with joined(own_redis, timeout=0.2) as (_, ben):
        with trio.move_on_after(1) as silence:
            await ben.receive()
        assert silence.cancelled_caught


async def test_all_who_wait_for_a_server_that_hangs_are_told_together(own_redis):
    async with joined(own_redis, timeout=0.5) as (ann, _):
        own_redis.pause()
        with trio.fail_after(3):
            async with trio.open_nursery() as nursery:
                for _ in range(2000):  # more than go into six batches, which would time out in turn
                    nursery.start_soon(expect_refusals, ann)
        own_redis.resume()


async def test_a_call_that_is_cancelled_while_the_server_hangs_harms_no_later_one(own_redis):
    async with joined(own_redis) as (ann, ben):
        own_redis.pause()
        with trio.move_on_after(0.1):
            await ann.publish(said("u:0", b"x"))
        own_redis.resume()
        await expect_talk(ann, ben)


# --- Connections are cut, passwords change, data is gone ----------------------------------------


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_connections_that_are_cut_off_are_made_again(own_redis, kind):
    async with joined(own_redis) as (ann, ben):
        await in_thread(lambda: own_redis.execute("CLIENT", "KILL", "TYPE", kind))
        if kind == "pubsub":
            assert await gap(ben) == sorted(CHANNELS)
        await expect_talk(ann, ben)


@pytest.mark.faults
async def test_connections_that_are_cut_off_again_and_again_are_made_again(own_redis):
    async with joined(own_redis) as (ann, ben):
        for _ in range(30):
            await in_thread(lambda: own_redis.execute("CLIENT", "KILL", "TYPE", "pubsub"))
            assert await gap(ben) == sorted(CHANNELS)
        await expect_talk(ann, ben)


async def test_another_password_is_trouble_until_it_is_the_old_one_again(own_redis):
    async with joined(own_redis) as (ann, ben):
        await in_thread(lambda: own_redis.restart(password="another"))
        await becomes_impossible(lambda: ann.publish(said("u:0", b"x")))
        await expect_refusals(ben)

        await in_thread(own_redis.restart)

        assert await gap(ben) == sorted(CHANNELS)
        await expect_talk(ann, ben)


async def test_a_password_in_the_address_is_used(own_redis):
    await in_thread(lambda: own_redis.restart(password="p@ss: word"))
    async with joined(own_redis) as (ann, ben):
        await expect_talk(ann, ben)


async def test_deleting_everything_harms_neither_bus_nor_presence_nor_spool(own_redis):
    service = RedisService(own_redis.url)
    lease = Lease("ann", "phone", "node-a", 1)
    async with service.running(), opened(service.bus("node-a")) as bus:
        await bus.subscribe(CHANNELS)
        spool, presence = service.spool("node-a"), service.presence("node-a")
        await append(spool, b"gone")
        assert await payloads(spool) == [b"gone"]
        await presence.hold([lease], 30)

        await in_thread(lambda: own_redis.execute("FLUSHALL"))

        await expect_talk(bus, bus)
        assert await presence.of("ann") == ()
        await presence.hold([lease], 30)
        assert len(await presence.of("ann")) == 1
        assert await payloads(spool) == []
        await append(spool, b"new")
        assert await payloads(spool) == [b"new"]


async def test_an_entry_deleted_by_hand_does_not_stop_the_spool(own_redis):
    service = RedisService(own_redis.url)
    async with service.running():
        spool = service.spool("node-a")
        for each in (b"1", b"2", b"3"):
            await append(spool, each)
        entries = await spool.take("node-a", 2, 30)
        assert entries is not None
        for entry in entries:
            await in_thread(partial(own_redis.execute, "XDEL", "tocsin:spool", entry.id))
        await append(spool, b"4")

        # Before Redis 7, a first look only finds out that they are gone.
        found = await payloads(spool, limit=2) or await payloads(spool, limit=2)
        assert found == [b"3", b"4"]


# --- The server refuses -------------------------------------------------------------------------


async def test_a_server_without_room_refuses_the_spool_and_still_carries_the_bus(own_redis):
    async with joined(own_redis) as (ann, ben):
        spool = RedisService(own_redis.url).spool("node-a")
        await in_thread(lambda: own_redis.execute("CONFIG", "SET", "maxmemory", "1"))
        with pytest.raises(BusUnavailable, match="maxmemory"):
            await append(spool, b"x", Claim("key", b"", "answer"))
        await expect_talk(ann, ben)

        await in_thread(lambda: own_redis.execute("CONFIG", "SET", "maxmemory", "0"))

        assert await append(spool, b"x", Claim("key", b"", "answer")) is None
        await spool._client.aclose()


async def test_a_replica_refuses_the_spool_until_it_is_the_master(own_redis):
    service = RedisService(own_redis.url)
    async with service.running():
        spool = service.spool("node-a")
        await in_thread(lambda: own_redis.execute("REPLICAOF", "127.0.0.1", "1"))
        with pytest.raises(BusUnavailable, match=r"(?i)read.?only"):
            await append(spool, b"x")
        await in_thread(lambda: own_redis.execute("REPLICAOF", "NO", "ONE"))
        await becomes_possible(lambda: append(spool, b"x"))


async def test_a_server_that_refused_is_connected_to_anew(own_redis):
    """It may be a replica by now, and another the master behind the same address."""
    service = RedisService(own_redis.url)
    async with service.running():
        client = service.client("node-a")
        before = await client.call(("CLIENT", "ID"))
        assert await client.call(("CLIENT", "ID")) == before
        with pytest.raises(BusUnavailable):
            await client.call(("NONSENSE",))
        assert await client.call(("CLIENT", "ID")) != before


async def test_one_refusal_does_not_take_the_others_of_its_batch_along(own_redis):
    service = RedisService(own_redis.url)
    async with service.running():
        client = service.client("node-a")
        answers: list[object] = []

        async def ask(*command: str) -> None:
            try:
                answers.append(await client.call(command))
            except BusUnavailable as error:
                answers.append(str(error))

        async with trio.open_nursery() as nursery:
            for command in ("ECHO", "NONSENSE", "ECHO"):
                nursery.start_soon(ask, command, "x")

        refusal, *echoes = sorted(map(str, answers))
        assert "unknown command" in refusal
        assert echoes == ["[b'x']", "[b'x']"]


async def test_channels_that_are_forbidden_are_trouble_until_they_are_allowed(own_redis):
    async with joined(own_redis) as (ann, ben):
        user = partial(own_redis.execute, "ACL", "SETUSER", "default")
        await in_thread(lambda: user("resetchannels"))
        await becomes_impossible(lambda: ben.subscribe(["u:new"]))
        await expect_refusals(ann)

        await in_thread(lambda: user("allchannels"))

        assert await gap(ben) == sorted([*CHANNELS, "u:new"])
        await expect_talk(ann, ben)


async def test_a_claim_is_kept_for_a_day(redis_url):
    service = RedisService(redis_url)
    async with service.running():
        await append(service.spool("node-a"), b"x", Claim("key", b"", "answer"))
        [left] = await service.client("node-a").call(("TTL", "tocsin:spool:claim:key"))
    assert 86_000 < left <= 86_400


# --- Shared and not shared ----------------------------------------------------------------------


async def test_databases_and_prefixes_divide_channels_as_they_divide_keys(redis_url):
    service = RedisService(redis_url)
    async with service.running(), opened(service.bus("node-a")) as ann:
        others = [
            RedisClient(another_database(redis_url)),
            RedisClient(service.url, prefix="another:"),
        ]
        await ann.subscribe(["u:0"])
        for client in others:
            await RedisBus(client).publish(said("u:0", b"not for ann"))
            await client.aclose()
        await ann.publish(said("u:0", b"for ann"))
        assert await hear(ann, 1) == said("u:0", b"for ann")


async def test_closing_leaves_no_connection(own_redis):
    async with joined(own_redis) as (ann, ben):
        await expect_talk(ann, ben)
    clients = await trio.to_thread.run_sync(lambda: own_redis.execute("CLIENT", "LIST"))
    assert len(clients.splitlines()) == 1, "only the one that asks"


# --- How ----------------------------------------------------------------------------------------


async def expect_refusals(bus: Bus) -> None:
    with pytest.raises(BusUnavailable):
        await bus.publish(said("u:0", b"x"))


def another_database(url: str) -> str:
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0)
    return urlunsplit(parts._replace(path=f"/{number - 1 if number else 1}"))


async def payloads(spool: Spool, *, limit: int = 10) -> list[bytes]:
    entries = await spool.take("node-a", limit, 30)
    assert entries is not None
    return [each.payload for each in entries]


async def becomes_impossible(act: Callable[[], Awaitable[object]]) -> None:
    """Repeat *act* until the node knows that the server is away."""
    with trio.fail_after(NOTICED):
        while True:
            try:
                await act()
            except BusUnavailable:
                return
            await trio.sleep(0.01)  # waits for: the end of the connection to be noticed


async def pause_for(server: Redis, seconds: float, bus: Bus) -> None:
    server.pause()
    with trio.fail_after(NOTICED):
        await expect_refusals(bus)
    await trio.sleep(seconds)  # waits for: the connections that hear to be given up
    server.resume()
