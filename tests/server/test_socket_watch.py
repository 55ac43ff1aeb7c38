"""The watch over idle sockets: what is called, how often in a turn, and when no more."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from tocsin.server.socket_watch import (
    BUDGET,
    HAS_EPOLL,
    EpollWatching,
    TaskWatching,
    Watch,
    Watching,
    watching,
)

WAYS = ["epoll", "tasks"] if HAS_EPOLL else ["tasks"]


@asynccontextmanager
async def open_watching(way: str) -> AsyncIterator[Watching]:
    if way == "tasks":
        yield TaskWatching()
        return
    epoll = EpollWatching()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(epoll.run)
        yield epoll
        nursery.cancel_scope.cancel()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Connected sockets: ours, which is watched and never blocks, and the peer's."""
    with ExitStack() as stack:
        made = []
        for _ in range(2 * BUDGET):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            made.append((stack.enter_context(ours), stack.enter_context(theirs)))
        yield made


@pytest.mark.parametrize("way", WAYS)
async def test_a_socket_that_can_be_read_is_called_until_it_has_been_read(pairs, way):
    ours, theirs = pairs[0]
    heard: list[bytes] = []
    called = trio.Event()

    def ready() -> None:
        heard.append(os.read(ours.fileno(), 2))
        if len(heard) == 3:
            called.set()

    async with open_watching(way) as watching:
        watch = watching.watch(ours.fileno(), ready)
        theirs.send(b"aabb")
        await trio.testing.wait_all_tasks_blocked(0.01)
        theirs.send(b"cc")
        await called.wait()
        watch.end()
    assert heard == [b"aa", b"bb", b"cc"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_watch_that_has_ended_calls_no_more(pairs, way):
    calls = Counter[int]()
    async with open_watching(way) as watching:
        for number, (ours, theirs) in enumerate(pairs[:2]):
            watch = watching.watch(ours.fileno(), partial(calls.update, [number]))
            if number == 0:
                watch.end()
                watch.end()
            theirs.send(b"x")
        while not calls:
            await trio.lowlevel.checkpoint()
    assert set(calls) == {1}


@pytest.mark.parametrize("way", WAYS)
async def test_one_socket_may_end_the_watch_over_another(pairs, way):
    watches: list[Watch] = []
    calls: list[int] = []

    def ready(number: int) -> None:
        calls.append(number)
        for watch in watches:
            watch.end()

    async with open_watching(way) as watching:
        for number, (ours, theirs) in enumerate(pairs[:10]):
            watches.append(watching.watch(ours.fileno(), partial(ready, number)))
            theirs.send(b"x")
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(calls) == 1


@pytest.mark.skipif(not HAS_EPOLL, reason="there is no epoll here")
async def test_the_number_of_a_socket_that_was_closed_may_be_another_s(pairs):
    """A watch that ends after its socket was closed does no harm to the next of that number."""
    async with open_watching("epoll") as watching:
        first, theirs = socket.socketpair()
        with theirs:
            number = first.fileno()
            old = watching.watch(number, lambda: None)
            first.close()
            os.dup2(pairs[0][0].fileno(), number)
            called = trio.Event()

            def ready() -> None:
                os.read(number, 1)
                called.set()

            new = watching.watch(number, ready)
            old.end()
            pairs[0][1].send(b"x")
            await called.wait()
            new.end()
            os.close(number)


@pytest.mark.skipif(not HAS_EPOLL, reason="there is no epoll here")
async def test_only_so_many_are_called_in_a_turn_and_all_of_them_in_their_turn(pairs):
    """Sockets that always have something to read do not keep the others waiting."""
    calls = Counter[int]()
    async with open_watching("epoll") as watching:
        for number, (ours, theirs) in enumerate(pairs):
            watching.watch(ours.fileno(), partial(calls.update, [number]))
            theirs.send(b"x")
        for turn in range(1, 9):
            while calls.total() < turn * BUDGET:
                before = calls.total()
                await trio.lowlevel.checkpoint()
                # Trio shuffles a turn, so between two looks may be the ends of two.
                assert calls.total() - before <= 2 * BUDGET
        assert max(calls.values()) - min(calls.get(n, 0) for n in range(len(pairs))) <= 2


@pytest.mark.parametrize(("has_epoll", "kind"), [(HAS_EPOLL, EpollWatching), (False, TaskWatching)])
async def test_one_way_of_watching_serves_a_whole_run(has_epoll, kind):
    way = watching(has_epoll=has_epoll)
    assert isinstance(way, kind)
    assert watching() is way
