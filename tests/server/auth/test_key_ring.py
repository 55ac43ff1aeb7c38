"""How seldom the store has to be asked for API keys."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import trio
import trio.testing

from tests.server.auth.expect_kit import refusal, unavailability
from tocsin.server.auth.errors import AuthCode
from tocsin.server.auth.key_ring import KeyRing, KeyRingLimits
from tocsin.server.auth.keys import NewKey, StoredKey, generate_key

LIMITS = KeyRingLimits()
RANDOM = random.Random(7)


def make_key() -> NewKey:
    return generate_key(RANDOM.randbytes)


class Records:
    """The store's side: the keys there are, and what was asked for."""

    def __init__(self) -> None:
        self.keys: dict[str, StoredKey] = {}
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.open = trio.Event()
        self.open.set()

    def add(self, *scopes: str) -> NewKey:
        key = make_key()
        self.keys[key.id] = StoredKey(key.id, key.hash, frozenset(scopes or {"notify"}), "", 0.0)
        return key

    def revoke(self, key: NewKey) -> None:
        self.keys[key.id] = replace(self.keys[key.id], revoked_at=1.0)

    async def find(self, key_id: str) -> StoredKey | None:
        self.asked.append(key_id)
        seen = self.keys.get(key_id)
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return seen


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def ring(records, clock) -> KeyRing:
    return KeyRing(records.find, clock)


async def test_a_key_in_the_store_is_accepted(ring, records):
    key = records.add("notify", "admin")
    principal = await ring.verify(key.text)
    assert principal.scopes == {"notify", "admin"}
    assert principal.credential == f"key:{key.id}"


async def test_an_unknown_key_is_refused(ring):
    assert await refusal(ring.verify(make_key().text)) is AuthCode.KEY_UNKNOWN


async def test_a_revoked_key_is_refused(ring, records):
    key = records.add()
    records.revoke(key)
    assert await refusal(ring.verify(key.text)) is AuthCode.KEY_REVOKED


async def test_a_malformed_key_does_not_reach_the_store(ring, records):
    assert await refusal(ring.verify("tk_nonsense")) is AuthCode.KEY_MALFORMED
    assert records.asked == []


async def test_the_store_is_asked_once_while_the_record_is_fresh(ring, records, clock):
    key = records.add()
    for _ in range(10):
        await ring.verify(key.text)
    clock.advance(LIMITS.fresh - 0.01)
    await ring.verify(key.text)
    assert len(records.asked) == 1
    clock.advance(0.01)
    await ring.verify(key.text)
    assert len(records.asked) == 2


async def test_a_fresh_record_does_not_make_a_wrong_secret_right(ring, records):
    key = records.add()
    await ring.verify(key.text)
    forged = f"tk_{key.id}_{make_key().text.split('_')[2]}"
    assert await refusal(ring.verify(forged)) is AuthCode.KEY_UNKNOWN
    assert len(records.asked) == 1


async def test_a_revocation_elsewhere_bites_when_the_record_is_no_longer_fresh(
    ring, records, clock
):
    key = records.add()
    await ring.verify(key.text)
    records.revoke(key)
    await ring.verify(key.text)
    clock.advance(LIMITS.fresh)
    assert await refusal(ring.verify(key.text)) is AuthCode.KEY_REVOKED


async def test_a_revocation_here_bites_at_once(ring, records):
    key = records.add()
    await ring.verify(key.text)
    records.revoke(key)
    ring.forget(key.id)
    assert await refusal(ring.verify(key.text)) is AuthCode.KEY_REVOKED


async def test_a_read_that_began_before_the_revocation_is_not_remembered(ring, records):
    key = records.add()
    records.open = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ring.verify, key.text)
        await trio.testing.wait_all_tasks_blocked()
        records.revoke(key)
        ring.forget(key.id)
        records.open.set()
    assert await refusal(ring.verify(key.text)) is AuthCode.KEY_REVOKED


async def test_an_unknown_key_that_comes_again_is_not_looked_up_again(ring, records, clock):
    key = make_key()
    for _ in range(10):
        await refusal(ring.verify(key.text))
    assert len(records.asked) == 1
    clock.advance(LIMITS.fresh)
    await refusal(ring.verify(key.text))
    assert len(records.asked) == 2


async def test_forgetting_lets_a_key_be_found_that_was_not_there(ring, records):
    key = records.add()
    record = records.keys.pop(key.id)
    await refusal(ring.verify(key.text))
    records.keys[key.id] = record
    ring.forget(key.id)
    await ring.verify(key.text)


async def test_a_flood_of_bad_keys_does_not_become_a_flood_of_reads(ring, records, clock):
    for _ in range(LIMITS.strange_reads_burst):
        assert await refusal(ring.verify(make_key().text)) is AuthCode.KEY_UNKNOWN
    for _ in range(2 * LIMITS.strange_reads_burst):
        assert await unavailability(ring.verify(make_key().text)) is AuthCode.KEYS_BUSY
    assert len(records.asked) == LIMITS.strange_reads_burst
    clock.advance(1)
    for _ in range(int(LIMITS.strange_reads_per_second)):
        await refusal(ring.verify(make_key().text))
    assert await unavailability(ring.verify(make_key().text)) is AuthCode.KEYS_BUSY
    assert ring.statistics().refused == 2 * LIMITS.strange_reads_burst + 1


async def test_a_key_at_work_does_not_notice_a_flood(records, clock):
    limits = KeyRingLimits(unknown_max=10, known_max=10, strange_reads_burst=20)
    ring = KeyRing(records.find, clock, limits=limits)
    key = records.add()
    await ring.verify(key.text)
    for _ in range(19):
        await refusal(ring.verify(make_key().text))
    clock.advance(LIMITS.fresh)
    ring.forget(key.id)
    for _ in range(20):
        await refusal(ring.verify(make_key().text))
    assert await unavailability(ring.verify(make_key().text)) is AuthCode.KEYS_BUSY
    await ring.verify(key.text)


async def test_the_memory_of_a_key_ring_is_bounded(records, clock):
    limits = KeyRingLimits(known_max=10, unknown_max=5)
    ring = KeyRing(records.find, clock, limits=limits)
    keys = [records.add() for _ in range(30)]
    for key in keys:
        await ring.verify(key.text)
        await refusal(ring.verify(make_key().text))
    statistics = ring.statistics()
    assert (statistics.known, statistics.unknown, statistics.reads) == (10, 5, 60)
    await ring.verify(keys[-1].text)
    assert ring.statistics().reads == 60
    await ring.verify(keys[0].text)
    assert ring.statistics().reads == 61


async def test_a_key_deleted_from_the_store_becomes_unknown(ring, records, clock):
    key = records.add()
    await ring.verify(key.text)
    del records.keys[key.id]
    clock.advance(LIMITS.fresh)
    assert await refusal(ring.verify(key.text)) is AuthCode.KEY_UNKNOWN
    assert ring.statistics().known == 0


async def test_many_at_once_cause_one_read(ring, records):
    key = records.add()
    records.open = trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ring.verify, key.text)
        await trio.testing.wait_all_tasks_blocked()
        records.open.set()
    assert len(records.asked) == 1


async def test_when_the_one_who_asks_hangs_up_another_asks(ring, records):
    key = records.add()
    records.open = trio.Event()
    accepted = []

    async def wait_for_it():
        accepted.append(await ring.verify(key.text))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def hang_up():
            with scope:
                await ring.verify(key.text)

        nursery.start_soon(hang_up)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            nursery.start_soon(wait_for_it)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        records.open.set()
    assert len(accepted) == 5
    assert len(records.asked) == 2


class StoreAway(Exception):
    pass


async def test_an_error_of_the_store_reaches_the_one_who_asked_and_is_not_remembered(ring, records):
    key = records.add()
    records.failure = StoreAway()
    with pytest.raises(StoreAway):
        await ring.verify(key.text)
    records.failure = None
    await ring.verify(key.text)


async def test_waiting_requests_learn_that_the_store_is_away_without_asking_it(ring, records):
    key = records.add()
    records.open = trio.Event()
    records.failure = StoreAway()
    codes = []

    async def ask():
        with pytest.raises(StoreAway):
            await ring.verify(key.text)

    async def wait_for_it():
        codes.append(await unavailability(ring.verify(key.text)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            nursery.start_soon(wait_for_it)
        await trio.testing.wait_all_tasks_blocked()
        records.open.set()
    assert codes == [AuthCode.KEYS_UNAVAILABLE] * 3
    assert len(records.asked) == 1


async def test_verifying_is_a_checkpoint_even_from_memory(ring, records):
    key = records.add()
    await ring.verify(key.text)
    with trio.testing.assert_checkpoints():
        await ring.verify(key.text)


# --- The store away -----------------------------------------------------------------------------


async def test_a_key_in_use_outlasts_an_outage_of_the_store_for_a_while(records, clock):
    ring = KeyRing(records.find, lambda: clock.now, limits=replace(LIMITS, outage=900.0))
    key, revoked = records.add(), records.add()
    await ring.verify(key.text)
    await ring.verify(revoked.text)
    records.failure = OSError("away")
    ring.forget(revoked.id)
    clock.now += LIMITS.fresh + 899
    await ring.verify(key.text)
    with pytest.raises(OSError, match="away"):
        await ring.verify(revoked.text)
    with pytest.raises(OSError, match="away"):
        await ring.verify(make_key().text)
    clock.now += 2
    with pytest.raises(OSError, match="away"):
        await ring.verify(key.text)


async def test_requests_that_wait_during_an_outage_are_let_in_as_well(records, clock):
    ring = KeyRing(records.find, lambda: clock.now, limits=replace(LIMITS, outage=900.0))
    key = records.add()
    await ring.verify(key.text)
    clock.now += LIMITS.fresh + 1
    records.failure, records.open = OSError("away"), trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ring.verify, key.text)
        await trio.testing.wait_all_tasks_blocked()
        records.open.set()
