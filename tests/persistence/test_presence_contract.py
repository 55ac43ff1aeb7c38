"""The contract of every presence: leases that say which device is connected where."""

from __future__ import annotations

import pytest
import trio

from tocsin.persistence.bus import Connected, Lease

PHONE = Lease("ann", "phone", "node-a", 1000)
LAPTOP = Lease("ann", "laptop", "node-b", 2000)


def connected(*leases: Lease) -> tuple[Connected, ...]:
    return tuple(Connected(each.device, each.node, each.since) for each in leases)


@pytest.fixture
def presence(service):
    return service.presence("node-a")


async def test_a_user_who_was_never_seen_has_no_devices(presence):
    assert await presence.of("ann") == ()


async def test_leases_are_seen_from_every_node_in_order(service, presence):
    await presence.hold([PHONE, Lease("ben", "phone", "node-a", 3000)], 30)
    await service.presence("node-b").hold([LAPTOP], 30)
    assert await presence.of("ann") == connected(LAPTOP, PHONE)
    assert await service.presence("node-c").of("ann") == connected(LAPTOP, PHONE)


@pytest.mark.parametrize(
    "user", ["auth0|5f", "https://a.b/c", '{x}:*"', "Ädä", "😀" * 255], ids=range(5)
)
async def test_a_user_is_whoever_an_identity_provider_names(presence, user):
    await presence.hold([Lease(user, "phone", "node-a", 1000)], 30)
    assert await presence.of(user) == connected(PHONE)
    assert await presence.of(user[:-1]) == ()


async def test_a_lease_that_is_not_renewed_ends(presence):
    await presence.hold([PHONE], 0.05)
    await presence.hold([LAPTOP], 30)
    await trio.sleep(0.15)  # waits for: the end of the lease, which nobody tells
    assert await presence.of("ann") == connected(LAPTOP)


async def test_a_renewed_lease_lasts(presence):
    await presence.hold([PHONE], 0.05)
    await presence.hold([PHONE], 30)
    await trio.sleep(0.15)  # waits for: the first lease to be over
    assert await presence.of("ann") == connected(PHONE)


async def test_a_short_lease_does_not_shorten_anothers(presence):
    await presence.hold([PHONE], 30)
    await presence.hold([LAPTOP], 0.05)
    await trio.sleep(0.15)  # waits for: the short lease to be over
    assert await presence.of("ann") == connected(PHONE)


async def test_a_released_lease_ends_at_once_and_others_stay(presence):
    await presence.hold([PHONE, LAPTOP], 30)
    await presence.release([PHONE, Lease("nobody", "x", "node-a", 1)])
    assert await presence.of("ann") == connected(LAPTOP)


async def test_a_device_that_came_back_is_there_once_and_survives_the_end_of_what_was(presence):
    again = Lease("ann", "phone", "node-a", 5000)
    await presence.hold([PHONE], 30)
    await presence.hold([again], 30)
    assert await presence.of("ann") == connected(again)

    await presence.release([PHONE])

    assert await presence.of("ann") == connected(again)


async def test_a_device_is_on_two_nodes_until_the_first_notices(presence):
    moved = Lease("ann", "phone", "node-b", 5000)
    await presence.hold([PHONE, moved], 30)
    assert await presence.of("ann") == connected(PHONE, moved)


async def test_thousands_are_renewed_and_released_at_once(presence):
    leases = [Lease(f"user-{n}", 'a "device"', "node-a", n) for n in range(2500)]
    await presence.hold(leases, 30)
    assert await presence.of("user-2499") == connected(leases[-1])
    await presence.release(leases)
    assert await presence.of("user-2499") == ()


async def test_no_leases_are_no_work(presence):
    await presence.hold([], 30)
    await presence.release([])
