"""Leases of runs in Redis: forged ones, and those of the release before."""

from __future__ import annotations

import msgspec
import pytest

from tocsin.persistence.bus import Connected, Lease
from tocsin.persistence.redis.presence import LEASE_MAX
from tocsin.protocol.cluster.seals import SEAL_BYTES, Purpose

pytestmark = pytest.mark.parametrize("service", ["redis"], indirect=True)

PHONE = Lease("ada", "phone", "node-a", 1, "a:1")


async def test_a_runs_lease_that_no_node_has_made_vouches_for_no_device(service, intruder):
    presence = service.presence("node-a")
    await presence.hold([PHONE], 30)
    await presence.renew("b:1", 1, 30)
    forged = b"", b"1", b"\x00" * 16 + b"1", b"x" * 100_000, intruder.get("tocsin:run:b:1")
    for value in forged:
        intruder.set("tocsin:run:a:1", value)
        assert await presence.devices_of("ada") == ()
    assert service.client("node-a").refusals.counts["presence", "forged"] == 3

    assert await presence.renew("a:1", 1, 30) == 0
    assert await presence.devices_of("ada") == (Connected("phone", "node-a", 1),)


async def test_a_run_whose_key_holds_another_kind_of_value_is_renewed(service, intruder):
    presence = service.presence("node-a")
    await presence.hold([PHONE], 30)
    intruder.sadd("tocsin:run:a:1", "x")
    assert await presence.devices_of("ada") == ()
    intruder.sadd("tocsin:run:a:1", "x")
    assert await presence.renew("a:1", 2, 30) == 0
    assert await presence.devices_of("ada") == (Connected("phone", "node-a", 1),)


async def test_a_node_whose_users_set_was_removed_hears_of_it_once(service, intruder):
    presence, other = service.presence("node-a"), service.presence("node-b")
    await presence.hold([PHONE], 30)
    await presence.renew("a:1", 1, 30)
    intruder.delete("tocsin:presence:ada")
    intruder.set("tocsin:presence:ada", "x")
    assert await other.devices_of("ada") == ()

    assert await presence.renew("a:1", 2, 30) == 0
    assert await presence.renew("a:1", 3, 30) == 2
    assert await other.renew("b:1", 1, 30) == 0


class Before(msgspec.Struct, frozen=True, array_like=True):
    """A connection as nodes of the release before write and read it."""

    device: str
    node: str
    since: int


async def test_nodes_of_the_release_before_read_our_leases_and_we_read_theirs(service, intruder):
    presence = service.presence("node-a")
    await presence.hold([PHONE], 1800)
    [(member, ends)] = intruder.zrange("tocsin:presence:ada", 0, -1, withscores=True)
    # One that ends later would be removed by them.
    assert ends - service.now_ms() < LEASE_MAX * 1000
    assert msgspec.json.decode(member[SEAL_BYTES:], type=Before) == Before("phone", "node-a", 1)

    theirs = msgspec.json.encode(Before("web", "node-b", 2))
    seal = service.seals("node-b")[Purpose.PRESENCE].of(b"ada", theirs)
    intruder.zadd("tocsin:presence:ada", {seal + theirs: ends})
    assert await presence.devices_of("ada") == (Connected("web", "node-b", 2),)
