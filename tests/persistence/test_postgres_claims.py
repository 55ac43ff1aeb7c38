"""Several nodes that escalate and claim on one Postgres: nothing twice, and no node waits."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from tests.persistence.escalation_kit import (
    DUE,
    MAIL,
    MINUTE,
    address,
    claim,
    escalate,
    lines,
    post,
    settled,
)
from tests.persistence.postgres_kit import opened, session
from tocsin.persistence.store.commands import Done
from tocsin.persistence.store.escalation_commands import (
    ClaimSends,
    Escalate,
    Escalated,
    SendsClaimed,
)
from tocsin.protocol.channels.escalation import EscalationStep


@pytest.fixture
async def desks(loop, postgres_url):
    made = [await opened(postgres_url, pool_size=2) for _ in range(3)]
    yield made
    for each in made:
        await each.store.aclose()


async def test_three_nodes_make_and_carry_each_send_once(desks):
    first = desks[0]
    users = [f"u{number:03}" for number in range(60)]
    for user in users:
        await address(first, user)
    made = [await post(first, *users, plan=(MAIL,)) for _ in range(5)]
    counted: list[int] = []
    carried: Counter[str] = Counter()

    async def work(desk, node: str) -> None:
        while True:
            done = await desk.one(Escalate(DUE, limit=50), Escalated)
            counted.append(done.sends)
            if done.plans == 0:
                break
        while True:
            claimed = await desk.one(ClaimSends("email", node, DUE, 7, MINUTE), SendsClaimed)
            if not claimed.sends:
                break
            carried.update(each.id for each in claimed.sends)
            await desk.one(settled(claimed, node=node), Done)

    async with trio.open_nursery() as nursery:
        for number, desk in enumerate(desks):
            nursery.start_soon(work, desk, f"node-{number}")
    # A node may have ended while another held the rest: that one carries it.
    await work(first, "node-0")

    assert sum(counted) == len(users) * len(made)
    assert len(carried) == len(users) * len(made)
    assert set(carried.values()) == {1}
    states = {each.state for id_ in made for each in await lines(first, id_)}
    assert states == {"sent"}


async def test_sends_that_another_node_is_claiming_are_passed_over_without_waiting(
    desks, postgres_url
):
    desk = desks[0]
    for user in ("ann", "bob"):
        await address(desk, user)
    await post(desk, "ann", "bob")
    await escalate(desk)

    async with session(postgres_url) as run:
        await run("BEGIN")
        await run("SELECT FROM sends WHERE user_id = 'ann' FOR UPDATE")
        with trio.fail_after(2):
            claimed = await claim(desk)
        await run("COMMIT")

    assert [each.user for each in claimed.sends] == ["bob"]
    assert [each.user for each in (await claim(desk)).sends] == ["ann"]


async def test_a_digest_that_another_node_is_claiming_is_not_torn(desks, postgres_url):
    gathering = (EscalationStep(after=60, channel="email", digest=60),)
    desk = desks[0]
    await address(desk, "ann")
    made = [await post(desk, "ann", plan=gathering) for _ in range(3)]
    await escalate(desk)
    out = DUE + MINUTE

    async with session(postgres_url) as run:
        await run("BEGIN")
        # As a claim that has taken the first: it has the address with it.
        await run("SELECT FROM addresses WHERE user_id = 'ann' FOR UPDATE")
        with trio.fail_after(2):
            assert (await claim(desk, out)).sends == ()
        await run("COMMIT")

    claimed = await claim(desk, out)
    assert [each.notification for each in claimed.sends] == made


async def test_a_plan_that_another_node_is_at_is_left_to_it(desks, postgres_url):
    desk = desks[0]
    await address(desk, "ann")
    first, second = await post(desk, "ann"), await post(desk, "ann")

    async with session(postgres_url) as run:
        await run("BEGIN")
        await run(f"SELECT FROM escalations WHERE notification_id = '{first}' FOR UPDATE")
        with trio.fail_after(2):
            assert (await escalate(desk)).sends == 1
        await run("COMMIT")

    assert len(await lines(desk, second)) == 1
    assert (await escalate(desk)).sends == 1
