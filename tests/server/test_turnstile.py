"""So many at a time, in the order in which they came."""

import pytest
import trio
import trio.testing

from tocsin.server.turnstile import Place, Turnstile


class Line:
    """Newcomers who enter one after the other; each is let in, or still waits."""

    def __init__(self, turnstile: Turnstile, nursery: trio.Nursery) -> None:
        self.turnstile = turnstile
        self.inside: dict[str, Place] = {}
        self._nursery = nursery

    async def come(self, *names: str) -> None:
        for name in names:
            self._nursery.start_soon(self._enter, name)
            await trio.testing.wait_all_tasks_blocked()

    async def leave(self, name: str) -> None:
        self.inside[name].leave()
        await trio.testing.wait_all_tasks_blocked()

    async def _enter(self, name: str) -> None:
        self.inside[name] = await self.turnstile.enter()


@pytest.fixture
async def line():
    async with trio.open_nursery() as nursery:
        yield Line(Turnstile(2), nursery)
        nursery.cancel_scope.cancel()


async def test_so_many_are_let_in_and_the_rest_in_their_order(line):
    await line.come("ann", "bob", "cleo", "dan")
    assert list(line.inside) == ["ann", "bob"]
    assert line.turnstile.waiting == 2
    await line.leave("bob")
    assert list(line.inside) == ["ann", "bob", "cleo"]
    await line.leave("ann")
    assert list(line.inside) == ["ann", "bob", "cleo", "dan"]


async def test_a_place_that_is_left_twice_lets_in_one(line):
    await line.come("ann", "bob", "cleo", "dan")
    await line.leave("ann")
    await line.leave("ann")
    assert list(line.inside) == ["ann", "bob", "cleo"]


async def test_a_place_is_left_with_its_block_also_by_who_left_it_before(line):
    with await line.turnstile.enter() as place:
        await line.come("ann", "bob", "cleo")
        place.leave()
    await trio.testing.wait_all_tasks_blocked()
    assert list(line.inside) == ["ann", "bob"]


async def test_a_newcomer_that_leaves_the_queue_is_not_waited_for(line):
    await line.come("ann", "bob")
    with trio.move_on_after(0.01):
        await line.turnstile.enter()
    await line.come("cleo")
    await line.leave("ann")
    assert "cleo" in line.inside
