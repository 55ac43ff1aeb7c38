"""One port for several processes: each listens on a socket of its own, and the kernel deals out.

With `SO_REUSEPORT` the kernel chooses a listener by a hash of the two addresses, so connections
spread evenly. With one listener that all processes inherit, whoever wakes first takes: connections
that last for hours would gather in one process. And a process that dies takes only its own
listener with it; nobody is dealt to a dead one. (So it is on Linux; on macOS the option exists, and
the last to listen takes all.)

What the option takes away is given back by `Reservation`: that a port in use by somebody else is an
error, and that port 0 is the same free port for everybody.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import trio

Address = tuple[socket.AddressFamily, tuple[object, ...]]


class Reservation:
    """Holds a port, without listening on it, for processes that do.

    A bound socket that does not listen is dealt no connection, but keeps strangers from the port
    while every process that listens happens to be down. Raises `OSError` with a text for people.
    """

    def __init__(self, host: str, port: int) -> None:
        self._held = ExitStack()
        self.port = port
        try:
            for family, address in addresses(host, port):
                self._hold(family, address)
        except OSError as error:
            self._held.close()
            taken = error.errno == errno.EADDRINUSE
            why = "another program is using it" if taken else error.strerror
            raise OSError(error.errno, f"cannot listen on {host}:{self.port}: {why}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port, as far as it is up to this process."""
        self._held.close()

    def _hold(self, family: socket.AddressFamily, address: tuple[object, ...]) -> None:
        where = (address[0], self.port, *address[2:])
        # First without the option, which fails also where another program shares its port.
        with bound(family, where, share=False) as probe:
            where = probe.getsockname()
        held = self._held.enter_context(bound(family, where, share=True))
        self.port = held.getsockname()[1]


async def open_shared_listeners(
    host: str | None, port: int, backlog: int
) -> list[trio.SocketListener]:
    """Listen on *port* of every address of *host* beside whoever shares it. Raises `OSError`."""
    found = await trio.to_thread.run_sync(lambda: list(addresses(host, port)))
    with ExitStack() as opened:
        sockets = [opened.enter_context(bound(*each, share=True)) for each in found]
        for each in sockets:
            each.listen(backlog)
        opened.pop_all()
    return [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in sockets]


def addresses(host: str | None, port: int) -> Iterator[Address]:
    """Where to bind; waits for the resolver if *host* is a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in found:
        yield family, address


def bound(
    family: socket.AddressFamily, address: tuple[object, ...], *, share: bool
) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # As Trio's own listeners: a restart need not wait for the last connections' TIME_WAIT.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made
