"""One port for everything: accept, have requests served, hand over WebSockets, guard.

    accept ─ handle ─ http(stream, address) ─ … an upgrade, as any request of the connection …
                                                     │
                                                 turnstile ── websocket(stream, head, rest, …)

Hypercorn does not accept connections here, because it does not survive what the open internet
sends: one packet takes it down. Behind this door every request has bounds before anybody acts on
it, and every connection runs inside a guard, so that what one raises is logged and reaches nobody
else.

A WebSocket waits for its turn before the handshake (`turnstile`). A request does not: it asks for
little, may be a load balancer's question whether this node lives, and brings no crowd.

A node that is full still answers, on a few connections in reserve: whether it lives, and to all
others in their own language that they should come back (`http.application.Turned`).
"""

from __future__ import annotations

import errno
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from tocsin.server.admission.limits import Limits
from tocsin.server.admission.seldom import Seldom
from tocsin.server.door.limits import DoorLimits
from tocsin.server.door.shared_port import open_listeners
from tocsin.server.http.application import Turned
from tocsin.server.http.connection import Upgrade
from tocsin.server.request_head import RequestHead
from tocsin.server.turnstile import Place, Turnstile

logger = structlog.get_logger(__name__)

RESERVE_PER_ADDRESS: Final = 16
"""Connections in the reserve from one address: a flood leaves some for the others."""
DEFERRED_MAX: Final = 1
"""Seconds, about, for which the kernel keeps a connection that is silent."""
ACCEPT_PAUSE: Final = 0.1
"""Seconds; as in trio.serve_listeners."""
ACCEPTS_MAX: Final = 4
"""In one turn of the event loop: those inside are to have most of it."""
TURNING_AWAY_TIMEOUT: Final = 4.0
"""Seconds for a client in the reserve to ask, and read its answer."""

# The process or the machine has no room for one more socket. That passes; dying would not help.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_CANNOT_ACCEPT_PERIOD: Final = 10.0
"""Seconds between two lines that say so."""

_PEER_GONE: Final = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    ConnectionError,
    TimeoutError,
)
"""How a connection ends when the other side goes: not worth a line in the log."""


class CannotListen(OSError):
    """The address cannot be listened on. The message names it, and says why."""


@dataclass(frozen=True, slots=True)
class FrontDoorStatistics:
    """*open* is now, the rest since the start."""

    open: int
    accepted: int
    refused: int
    failures: int


Http = Callable[[trio.SocketStream, str, Turned | None], Awaitable[Upgrade | None]]
WebSocket = Callable[[trio.SocketStream, RequestHead, bytes, Place, str], Awaitable[None]]
TurnedWebSocket = Callable[[trio.SocketStream, RequestHead, bytes, Turned, str], Awaitable[None]]


class FrontDoor:
    """Accepts sockets and serves each to its end.

    `http(stream, address, turned)` serves requests until the connection ends or is to become a
    WebSocket; `websocket(stream, head, rest, turn, address)` serves that: `rest` is what was read
    behind the head, `address` the client's, `turn` a place among the handshakes, to be left when
    the handshake is over. `websocket_turned(stream, head, rest, turned, address)` tells one why it
    is not served. They own the stream, which is closed after them in any case. *shares* bound the
    connections of one address. With *shares_port* other processes may listen on the same port.
    """

    def __init__(
        self,
        *,
        websocket: WebSocket,
        websocket_turned: TurnedWebSocket,
        http: Http,
        limits: DoorLimits,
        shares: Limits | None = None,
        shares_port: bool = False,
    ) -> None:
        self._websocket = websocket
        self._websocket_turned = websocket_turned
        self._http = http
        self._limits = limits
        self._shares = shares
        self._shares_port = shares_port
        self._handshakes = Turnstile(limits.handshakes_max)
        self._cannot_accept = Seldom(1, _CANNOT_ACCEPT_PERIOD)
        self._open = self._accepted = self._refused = self._failures = 0
        self._in_reserve: Counter[str] = Counter()

    def statistics(self) -> FrontDoorStatistics:
        return FrontDoorStatistics(self._open, self._accepted, self._refused, self._failures)

    async def open(self, hosts: Sequence[str], port: int) -> list[trio.SocketListener]:
        """Listen on *port* of every address of *hosts*; 0 is a free one, the same on all.

        Raises `CannotListen`. Cancelling leaves nothing open.
        """
        try:
            listeners = await open_listeners(
                hosts, port, self._limits.backlog_max, share=self._shares_port
            )
        except OSError as error:
            raise CannotListen(error.errno, error.strerror or str(error)) from error
        # A silent client waits in the kernel, not here; and of a crowd no more heads are read
        # in one turn than connections are accepted.
        option = getattr(socket, "TCP_DEFER_ACCEPT", None)
        if option is not None:
            for listener in listeners:
                listener.socket.setsockopt(socket.IPPROTO_TCP, option, DEFERRED_MAX)
        return listeners

    async def accept(
        self,
        listeners: list[trio.SocketListener],
        start: Callable[[trio.SocketStream, str], None],
    ) -> None:
        """Accept from all *listeners* until cancelled, and give each stream to *start*.

        *start* must not wait, and sees to it that `handle(stream, address)` runs; what it raises is
        logged and costs that connection only. Without room for another socket it pauses and goes
        on. Above `connections_max`, or beyond what one address may have, connections are answered
        from the reserve. Cancelling closes the listeners, and no connection.
        """
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept_from, listener, start, nursery)

    async def _accept_from(
        self,
        listener: trio.SocketListener,
        start: Callable[[trio.SocketStream, str], None],
        nursery: trio.Nursery,
    ) -> None:
        async with listener:
            while True:
                try:
                    self._take(await listener.accept(), start, nursery)
                except OSError as error:
                    if error.errno not in _NO_ROOM:
                        raise
                    left_out = self._cannot_accept.due(trio.current_time())
                    if left_out is not None:
                        why = os.strerror(error.errno)
                        logger.error("cannot accept connections", why=why, left_out=left_out)
                    await trio.sleep(ACCEPT_PAUSE)
                    continue
                for stream in self._more_from(listener):
                    self._take(stream, start, nursery)

    def _more_from(self, listener: trio.SocketListener) -> Iterator[trio.SocketStream]:
        """Those who wait at the door as well: as many as one turn may take, and there is room."""
        # Trio's own `accept` always waits for a turn; this is the same socket, seen without it.
        door = socket.socket(fileno=listener.socket.fileno())
        try:
            for _ in range(min(ACCEPTS_MAX, self._limits.connections_max - self._open) - 1):
                peer, _address = door.accept()
                yield trio.SocketStream(trio.socket.from_stdlib_socket(peer))
        except OSError:
            return  # no client there; or an error that the next waiting finds as well
        finally:
            door.detach()

    def _take(
        self,
        stream: trio.SocketStream,
        start: Callable[[trio.SocketStream, str], None],
        nursery: trio.Nursery,
    ) -> None:
        self._accepted += 1
        address = peer_address(stream)
        turned = None
        if self._open >= self._limits.connections_max:
            turned = Turned.FULL
        elif self._shares is not None and self._shares.admit_connection(address) is not None:
            turned = Turned.CROWDED
        if turned is not None:
            self._refuse(stream, address, turned, nursery)
            return
        try:
            self._set_options(stream.socket)
            start(stream, address)
        except Exception as error:
            stream.socket.close()
            self._closed(address)
            if not isinstance(error, OSError):  # else the peer was gone before we looked
                self._failures += 1
                logger.error("connection not started", exc_info=error)

    def _set_options(self, peer: trio.socket.SocketType) -> None:
        # Frames are small, and each is wanted now: do not wait for more (Nagle).
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Else a phone that left the network in mid-push costs a connection for 15 minutes.
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            peer.setsockopt(socket.IPPROTO_TCP, option, int(self._limits.user_timeout * 1000))

    def _closed(self, address: str) -> None:
        if self._shares is not None:
            self._shares.connection_closed(address)

    def _refuse(
        self, stream: trio.SocketStream, address: str, turned: Turned, nursery: trio.Nursery
    ) -> None:
        # Told in a task of its own, so that the queue behind is not held up, and only so many at a
        # time: a node that is full must not fill up with refusals.
        self._refused += 1
        held = self._in_reserve[address]
        if held >= RESERVE_PER_ADDRESS or self._in_reserve.total() >= self._limits.reserve_max:
            stream.socket.close()
            return
        self._in_reserve[address] += 1
        nursery.start_soon(self._turn_away, stream, address, turned)

    async def _turn_away(self, stream: trio.SocketStream, address: str, turned: Turned) -> None:
        try:
            with trio.move_on_after(TURNING_AWAY_TIMEOUT):
                await self._guarded(stream, address, turned)
        finally:
            self._in_reserve[address] -= 1
            if not self._in_reserve[address]:
                del self._in_reserve[address]

    async def handle(self, stream: trio.SocketStream, address: str) -> None:
        """Serve one connection of *address* to its end, and close it.

        Raises nothing but cancellation: what its server raises is logged, without anything that the
        client sent, and counted.
        """
        self._open += 1
        try:
            await self._guarded(stream, address, None)
        finally:
            self._open -= 1
            self._closed(address)

    async def _guarded(
        self, stream: trio.SocketStream, address: str, turned: Turned | None
    ) -> None:
        try:
            upgrade = await self._http(stream, address, turned)
            if upgrade is not None:
                # Nothing here holds the head while the WebSocket lives: it is a page of memory.
                serving = self._upgrade(stream, upgrade, turned or upgrade.turned)
                admission = upgrade.admission
                del upgrade
                try:
                    await serving
                finally:
                    admission.release()
        except* _PEER_GONE as group:
            logger.debug("peer gone", error=repr(group.exceptions[0]))
        except* Exception as group:
            self._failures += 1
            logger.error("connection failed", exc_info=group)
        finally:
            stream.socket.close()

    async def _upgrade(
        self, stream: trio.SocketStream, upgrade: Upgrade, turned: Turned | None
    ) -> None:
        """Serve a WebSocket in its turn, to its end."""
        head, rest, address = upgrade.head, upgrade.rest, upgrade.admission.address
        del upgrade
        turn = None if turned is not None else self._handshakes.enter_now()
        if turn is None and turned is None:
            with trio.move_on_after(self._limits.turn_timeout):
                turn = await self._handshakes.enter()
        if turn is None:
            # More are connecting than this node can take, if it is not full anyway.
            self._refused += 1
            await self._websocket_turned(stream, head, rest, turned or Turned.FULL, address)
            return
        with turn:
            serving = self._websocket(stream, head, rest, turn, address)
            del head, rest
            await serving


def peer_address(stream: trio.SocketStream) -> str:
    """The address that the connection comes from; nothing if it has gone already."""
    try:
        name = stream.socket.getpeername()
    except OSError:
        return ""
    address: str = name[0]
    return address.removeprefix("::ffff:")  # IPv4 on a socket for both
