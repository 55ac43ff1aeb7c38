"""One watch for all sockets that are only listened to.

A task that waits at its own socket costs two task switches and two system calls for each thing that
it hears: 8 to 12 µs, where the reading itself costs 1.5. Nearly all that an idle connection says
can be dealt with at once. So such a socket is watched instead: an epoll of its own stands in the
loop's epoll as one more file, one task waits at it for all, and calls what each socket has to be
done.

    watch(socket, ready) ── Watch ── ready() … ready() … ── end()

The task calls `BUDGET` sockets in a turn of the event loop. The kernel puts a socket that was
reported behind those that were not, so one that always has something to read waits for all others.

Where the system has no epoll, each watched socket has a task (`TaskWatching`).
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final, Protocol

import trio

BUDGET: Final = 64
"""Sockets that are called in one turn: about two milliseconds, if each acknowledges a push."""
HAS_EPOLL: Final = hasattr(select, "epoll")


class Watch(Protocol):
    """The watch over one socket."""

    def end(self) -> None:
        """Call no more. To be called before the socket is closed; again is no harm."""


class Watching(Protocol):
    """A way to watch sockets; see the module."""

    def watch(self, number: int, ready: Callable[[], None]) -> Watch:
        """Call *ready* whenever the socket of this *number* can be read, until the watch ends.

        *ready* must not raise or wait. It is called again if it has left something to read.
        """


class EpollWatching:
    """All watched sockets of one Trio run."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: dict[int, _EpollWatch] = {}

    def watch(self, number: int, ready: Callable[[], None]) -> Watch:
        """See `Watching`."""
        self._epoll.register(number, select.EPOLLIN)
        watch = self._watches[number] = _EpollWatch(self, number, ready)
        return watch

    def end(self, watch: _EpollWatch) -> None:
        """The end of *watch*, for itself to call."""
        # A socket that was closed without its end is no longer in the epoll, and its number may be
        # another's by now.
        if self._watches.get(watch.number) is watch:
            del self._watches[watch.number]
            self._epoll.unregister(watch.number)

    async def run(self) -> None:
        """Call what is ready, for ever; cancel it to end."""
        epoll, watches = self._epoll, self._watches
        with epoll:
            while True:
                await trio.lowlevel.wait_readable(epoll.fileno())
                for number, _events in epoll.poll(0, BUDGET):
                    # One that was ready may have been ended by the one before it.
                    watch = watches.get(number)
                    if watch is not None:
                        watch.ready()


class _EpollWatch:
    __slots__ = ("_watching", "number", "ready")

    def __init__(self, watching: EpollWatching, number: int, ready: Callable[[], None]) -> None:
        self._watching = watching
        self.number = number
        self.ready = ready

    def end(self) -> None:
        self._watching.end(self)


class TaskWatching:
    """The plain way: a task for each socket."""

    def watch(self, number: int, ready: Callable[[], None]) -> Watch:
        """See `Watching`."""
        watch = _TaskWatch(number, ready)
        trio.lowlevel.spawn_system_task(watch.run, name="socket watch")
        return watch


class _TaskWatch:
    __slots__ = ("_number", "_ready", "_scope")

    def __init__(self, number: int, ready: Callable[[], None]) -> None:
        self._number = number
        self._ready = ready
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        with self._scope:
            while not self._scope.cancel_called:
                await trio.lowlevel.wait_readable(self._number)
                if not self._scope.cancel_called:  # by another, in the same turn
                    self._ready()

    def end(self) -> None:
        self._scope.cancel()


_watching: Final = trio.lowlevel.RunVar[Watching]("watching")


def watching(*, has_epoll: bool = HAS_EPOLL) -> Watching:
    """The way in which the sockets of this Trio run are watched, which the first call chooses."""
    try:
        return _watching.get()
    except LookupError:
        if has_epoll:
            epoll = EpollWatching()
            trio.lowlevel.spawn_system_task(epoll.run, name="socket watch")
            way: Watching = epoll
        else:
            way = TaskWatching()
        _watching.set(way)
        return way
