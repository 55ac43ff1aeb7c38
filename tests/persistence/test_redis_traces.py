"""A search through all that Redis keeps: entries that wait, those set aside, claims, leases."""

from __future__ import annotations

import pytest

from tests.persistence.services_kit import RedisService, append
from tocsin.persistence.bus import Claim, Lease, Replaying, SpoolDraft
from tocsin.persistence.redis.traces import RedisTraces

pytestmark = pytest.mark.parametrize("service", ["redis"], indirect=True)

NODE = "node-a"


@pytest.fixture
def traces(service: RedisService) -> RedisTraces:
    return RedisTraces(service.client(NODE), service.seals(NODE))


async def test_all_that_waits_is_seen_in_order(service, traces):
    payloads = [b"%d" % number for number in range(40)]
    await service.spool(NODE).append([SpoolDraft(each) for each in payloads])
    assert [each async for each in traces.waiting()] == payloads


async def test_an_entry_set_aside_can_be_removed_or_replaced_and_still_be_replayed(service, traces):
    spool = service.spool(NODE)
    await spool.append([SpoolDraft(b"%d" % number) for number in range(30)])
    entries = await spool.take(NODE, 30, 30)
    assert entries is not None
    await spool.poison(NODE, [(each, "poison") for each in entries])

    async for aside in traces.set_aside():
        assert not aside.foreign
        if aside.payload == b"7":
            await traces.replace(aside, b"seven")
        elif aside.payload != b"seven":
            await traces.remove(aside)

    [(left, reason)] = await spool.poisoned(100)
    assert (left.id, left.payload, reason) == (entries[7].id, b"seven", "poison")
    assert await spool.replay(left.id) is Replaying.DONE
    assert [each async for each in traces.waiting()] == [b"seven"]


async def test_claims_and_leases_are_counted_and_removed(service, traces):
    await append(service.spool(NODE), b"x", Claim("jwt::ann k", b"", "{}"))
    await service.presence(NODE).hold([Lease("ann", "phone", NODE, 1)], 30)
    keys = [traces.claim("jwt::ann", "k"), traces.presence("ann"), traces.presence("ben")]
    assert await traces.count(keys) == 2
    await traces.unlink(keys)
    assert await traces.count(keys) == 0
    assert await service.presence(NODE).devices_of("ann") == ()
