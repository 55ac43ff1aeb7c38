"""One port for several processes: each listens on a socket of its own, and the kernel deals out.

With `SO_REUSEPORT` the kernel chooses a listener by a hash of the two addresses, so connections
spread evenly. With one listener that all processes inherit, whoever wakes first takes: connections
that last for hours would gather in one process. And a process that dies takes only its own
listener with it; nobody is dealt to a dead one. (So it is on Linux; on macOS the option exists, and
the last to listen takes all.)

Two things that the option takes away are given back by `Reservation`: a port in use by another
program is an error, and port 0 is the same free port for all listeners.

Where several addresses are listened on, the port is the same on all of them. Each family has
sockets of its own, also where `::` asks for both: on a socket for both, whoever comes by IPv4 would
have an address of IPv6, which no list of networks knows.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Final, Self

import trio

Address = tuple[socket.AddressFamily, tuple[Any, ...]]

_BOTH: Final = "::"
_EVERY_IPV4: Final = "0.0.0.0"
_SAME_PORT_ATTEMPTS: Final = 8
"""Ports tried, each chosen by the kernel: that another address uses the same one is rare."""


class Reservation:
    """Holds a port of every address of *hosts*, without listening on it, for processes that do.

    A bound socket that does not listen is dealt no connection, but keeps strangers from the port
    while every process that listens happens to be down. Raises `OSError` with a text for people.
    """

    def __init__(self, hosts: Sequence[str], port: int) -> None:
        # First without the option, which fails also where another program shares its port.
        probes = bound_everywhere(hosts, port, share=False)
        self.port: int = probes[0].getsockname()[1]
        for probe in probes:
            probe.close()
        self._held = bound_everywhere(hosts, self.port, share=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port, as far as it is up to this process."""
        for each in self._held:
            each.close()


async def open_listeners(
    hosts: Sequence[str], port: int, backlog: int, *, share: bool
) -> list[trio.SocketListener]:
    """Listen on *port* of every address of *hosts*, with *share* beside other processes that do.

    0 is a free port, the same on all. Waits for the resolver where a host is a name; cancelling
    leaves nothing open. Raises `OSError` with a text for people.
    """
    sockets = await trio.to_thread.run_sync(partial(bound_everywhere, hosts, port, share=share))
    with ExitStack() as opened:
        for each in sockets:
            opened.enter_context(each).listen(backlog)
        opened.pop_all()
    return [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in sockets]


def bound_everywhere(hosts: Sequence[str], port: int, *, share: bool) -> list[socket.socket]:
    """Sockets on the same *port* of every address of *hosts*, the same free one for 0.

    Waits for the resolver where a host is a name. Raises `OSError` with a text for people.
    """
    found = list(addresses(hosts, port))
    for _ in range(_SAME_PORT_ATTEMPTS):
        try:
            return _bound_to_all(found, port, share=share)
        except OSError as error:
            # The kernel chose a port on the first address; somebody else may have it on another.
            if port or error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no port is free on every address of {', '.join(hosts)}")


def _bound_to_all(found: Sequence[Address], port: int, *, share: bool) -> list[socket.socket]:
    with ExitStack() as opened:
        sockets = []
        for family, address in found:
            try:
                made = bound(family, (address[0], port, *address[2:]), share=share)
            except OSError as error:
                raise OSError(error.errno, _why(error, address[0], port)) from error
            sockets.append(opened.enter_context(made))
            port = made.getsockname()[1]
        opened.pop_all()
    return sockets


def _why(error: OSError, host: str, port: int) -> str:
    taken = error.errno == errno.EADDRINUSE
    why = "another program is using it" if taken else error.strerror or str(error)
    return f"cannot listen on {f'[{host}]' if ':' in host else host}:{port}: {why}"


def addresses(hosts: Sequence[str], port: int) -> Iterator[Address]:
    """Where to bind, each address once; waits for the resolver if a host is a name.

    `::` is every address of both families. Raises `OSError` with a text for people.
    """
    seen = set[Address]()
    for host in every_host(hosts):
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise OSError(error.errno, _why(error, host, port)) from error
        for family, _, _, _, address in found:
            if (family, address) not in seen:
                seen.add((family, address))
                yield family, address


def every_host(hosts: Sequence[str]) -> tuple[str, ...]:
    """*hosts*, each once, with `::` taken for both families."""
    both = ((host, _EVERY_IPV4) if host == _BOTH else (host,) for host in hosts)
    return tuple(dict.fromkeys(chain.from_iterable(both)))


def bound(family: socket.AddressFamily, address: tuple[Any, ...], *, share: bool) -> socket.socket:
    """A socket on *address*. Raises `OSError`."""
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
