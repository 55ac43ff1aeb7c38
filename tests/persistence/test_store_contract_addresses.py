"""Every store keeps, mutes and forgets addresses on channels."""

from __future__ import annotations

from tests.persistence.escalation_kit import (
    DUE,
    MINUTE,
    address,
    claim,
    escalate,
    lines,
    post,
    settled,
)
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.escalation_commands import (
    AddressVerdict,
    ClaimSends,
    RemoveAddress,
    SendsClaimed,
    SettleSends,
)
from tocsin.persistence.store.queries import ListAddresses


async def test_an_address_that_is_gone_goes_with_what_waits_for_it(desk):
    await address(desk, "ann")
    first, second = await post(desk, "ann"), await post(desk, "ann")
    await escalate(desk)
    claimed = await desk.one(ClaimSends("email", "a", DUE, 1, MINUTE), SendsClaimed)
    [send] = claimed.sends
    gone = AddressVerdict("ann", "email", "main", send.fingerprint, "gone", "410")

    await desk.one(settled(claimed, "dead", addresses=(gone,)), Done)

    states = [each.state for id_ in (first, second) for each in await lines(desk, id_)]
    assert sorted(states) == ["dead", "moot"]
    [kept] = await desk.read(ListAddresses("ann"))
    assert kept.addresses == ()


async def test_an_address_that_was_renewed_meanwhile_stays(desk):
    await address(desk, "ann", value="old")
    gone = AddressVerdict("ann", "email", "main", "print-old", "gone", "410")
    await address(desk, "ann", value="new")

    await desk.one(SettleSends("a", (), (gone,), DUE), Done)

    [kept] = await desk.read(ListAddresses("ann"))
    assert [each.value for each in kept.addresses] == ["new"]


async def test_an_address_is_dead_after_three_failures_in_a_row(desk):
    await address(desk, "ann")
    verdict = AddressVerdict("ann", "email", "main", "print-ann@example.org", "failed", "550 5.1.1")
    passed = AddressVerdict("ann", "email", "main", "print-ann@example.org", "passed")
    seen = []

    for each in (verdict, verdict, passed, verdict, verdict, verdict):
        await desk.one(SettleSends("a", (), (each,), DUE), Done)
        [kept] = await desk.read(ListAddresses("ann"))
        seen.append(kept.addresses[0].dead_reason)

    assert seen == [None, None, None, None, None, "550 5.1.1"]
    await post(desk, "ann")
    assert (await escalate(desk)).sends == 0
    await address(desk, "ann")
    await post(desk, "ann")
    assert (await escalate(desk)).sends == 1


async def test_an_address_that_is_removed_takes_its_sends_along(desk):
    await address(desk, "ann")
    made = await post(desk, "ann")
    await escalate(desk)

    await desk.one(RemoveAddress("ann", "email", "main"), Done)

    assert [each.state for each in await lines(desk, made)] == ["moot"]
    assert await desk.one(RemoveAddress("ann", "email", "main"), NotFound) == NotFound()


async def test_a_send_whose_address_went_while_it_was_made_does_not_wait_for_ever(desk, database):
    await address(desk, "ann")
    made = await post(desk, "ann")
    await escalate(desk)
    await database.execute("DELETE FROM addresses")

    await claim(desk)

    assert [each.state for each in await lines(desk, made)] == ["moot"]


async def test_the_same_endpoint_under_another_name_moves_and_the_oldest_goes(desk):
    await address(desk, "ann", channel="webpush", name="a", value="endpoint")
    await address(desk, "bob", channel="webpush", name="b", value="endpoint", exclusive=True)
    for number in range(18):
        desk.now_ms += 1
        await address(desk, "cy", channel="webpush", name=f"n{number}", value=f"e{number}")

    of_ann, of_bob, of_cy = await desk.read(
        ListAddresses("ann"), ListAddresses("bob"), ListAddresses("cy")
    )

    assert of_ann.addresses == ()
    assert [each.name for each in of_bob.addresses] == ["b"]
    assert sorted(each.name for each in of_cy.addresses) == sorted(f"n{n}" for n in range(2, 18))
