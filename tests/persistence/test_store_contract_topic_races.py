"""Two that concern one topic at the same time, on each store."""

from __future__ import annotations

import trio

from tests.persistence.desk_kit import Desk, publish
from tocsin.persistence.store.commands import Changed

# --- Two at the same time -------------------------------------------------------------------------


async def test_two_nodes_that_bring_the_same_users_bring_each_entry_once(desk, database):
    other = Desk(database.store())
    await other.store.open()
    users = [f"user-{number}" for number in range(20)]
    await desk.subscribe("news", *users)
    brought: list[tuple[str, int, str]] = []

    async def bring(node: Desk) -> None:
        for turn in range(10):
            order = users if turn % 2 else users[::-1]
            for fan_out in (await node.bring(*order)).fan_outs:
                brought.extend(
                    (each.user, each.sequence, fan_out.content.id) for each in fan_out.positions
                )

    async def produce() -> None:
        for _ in range(10):
            await desk.write(*(publish(topic="news") for _ in range(3)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        for node in (desk, other, desk, other):
            nursery.start_soon(bring, node)
    while (last := await desk.bring(*users)).fan_outs:
        for fan_out in last.fan_outs:
            brought.extend(
                (each.user, each.sequence, fan_out.content.id) for each in fan_out.positions
            )

    assert len({(user, notification) for user, _, notification in brought}) == len(brought) == 600
    for user in users:
        page = await desk.page(user, limit=1000)
        assert [entry.sequence for entry in page.entries] == list(range(1, 31))
        assert page.counters.unread == 30
    await other.store.aclose()


async def test_a_user_who_subscribes_during_a_publish_gets_what_counts_them_in(desk, database):
    other = Desk(database.store())
    await other.store.open()
    users = [f"user-{number}" for number in range(30)]
    made: list[Changed] = []

    async def produce() -> None:
        made.extend([await desk.publish(topic="news") for _ in range(30)])

    async def join() -> None:
        for user in users:
            await other.subscribe("news", user)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        nursery.start_soon(join)
    await desk.bring(*users)
    while (await desk.bring(*users)).behind:
        pass

    got: dict[str, int] = dict.fromkeys((each.content.id for each in made), 0)
    for user in users:
        for entry in await desk.entries(user):
            got[entry.notification] += 1
    assert got == {each.content.id: each.recipients for each in made}
    await other.store.aclose()
