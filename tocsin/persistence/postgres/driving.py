"""Drives coroutines of asyncpg in a task of Trio, without the event loop of asyncio.

A round trip through trio-asyncio takes some five turns of Trio: the socket is readable, a callback
is queued, it runs, a future is done, a task of asyncio goes on. That costs more than all that
asyncpg does. But a coroutine of asyncpg that runs statements waits for one thing only, the answer
on its own connection. So a task of Trio can run it: it sends the coroutine on until that yields the
future of the answer, waits until the socket is readable, and gives the bytes to the driver's
protocol, which makes the future done. Bytes are still written through the driver's transport.

A connection is read either by asyncio or here. It is *taken over* while it lies idle in the pool.
That is not possible with TLS, whose bytes are not those of the socket; such connections are left to
asyncio. Nor is it done behind a pooler, where statements may have to be prepared anew.

The attributes of asyncpg that are used here are private; its version is pinned, and a contract test
watches them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

if TYPE_CHECKING:
    from tocsin.persistence.postgres.connecting import Connection

T = TypeVar("T")

_READ_MAX: Final = 65_536
"""Bytes that are read at once: more than the answers to a usual transaction."""


class Pause:
    """Awaited by a coroutine that may run here: nothing happens for *seconds*."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[Pause, None, None]:
        yield self


def take_over(connection: Connection) -> None:
    """Let asyncio read *connection* no longer, if that is possible."""
    transport = connection._transport
    if not connection.is_pooled and transport.get_extra_info("sslcontext") is None:
        transport.pause_reading()
        connection.is_taken_over = True


def hand_back(connection: Connection) -> None:
    """Let asyncio read *connection* again, if it was taken over."""
    if connection.is_taken_over:
        connection.is_taken_over = False
        connection._transport.resume_reading()


def is_silent(connection: Connection) -> bool:
    """Whether the server has sent nothing on the idle *connection*, and has not ended it.

    If it has sent anything, that is lost; an idle connection is told of little but its end.
    """
    try:
        os.read(_socket_of(connection), 1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def drive(connection: Connection, work: Coroutine[Any, Any, T]) -> T:
    """Run *work*, whose statements are all for *connection*, which was taken over; its answer.

    Raises what *work* raises, or `ConnectionResetError` if writing to the server has failed.
    Cancelled, it leaves the connection in a state that is not known.
    """
    transport, protocol = connection._transport, connection._protocol
    descriptor = _socket_of(connection)
    waiter: asyncio.Future[Any] | Pause | None = None
    try:
        while True:
            waiter = work.send(None)
            if isinstance(waiter, Pause):
                await trio.sleep(waiter.seconds)
                continue
            # It asks the server to cancel a statement whose future is cancelled. A connection is
            # ended here instead, and the callback would cost a turn of asyncio's loop each time.
            waiter.remove_done_callback(protocol._on_waiter_completed)
            while not waiter.done():
                if transport.is_closing():
                    # Writing has failed. The descriptor is closed in a moment, and may not be
                    # waited for any more.
                    raise ConnectionResetError("the connection was lost")
                await trio.lowlevel.wait_readable(descriptor)
                _receive(descriptor, protocol)
    except StopIteration as done:
        answer: T = done.value
        return answer
    except BaseException:
        if isinstance(waiter, asyncio.Future):
            # The future is of no use any more, and its exception not to be reported as a fault.
            waiter.cancel()
        work.close()
        raise


def _receive(descriptor: int, protocol: asyncio.Protocol) -> None:
    try:
        data = os.read(descriptor, _READ_MAX)
    except BlockingIOError:
        return
    except OSError as error:
        protocol.connection_lost(error)
        return
    if data:
        protocol.data_received(data)
    else:
        protocol.connection_lost(None)


def _socket_of(connection: Connection) -> int:
    number: int = connection._transport.get_extra_info("socket").fileno()
    return number
