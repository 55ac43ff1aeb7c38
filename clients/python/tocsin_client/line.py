"""The line to the server: carries out what the machine (`follower`) wants, with real sockets,
tokens and clocks, and comes back after whatever happens to the network or the server."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio

from tocsin_client.actions import Action, News, Refresh, Send, Show, Stop, Synced, Wait
from tocsin_client.closing import UNAUTHENTICATED
from tocsin_client.follower import PONG_TIMEOUT, WELCOME_TIMEOUT, Follower
from tocsin_client.frames import Push
from tocsin_client.socket import CLOSE_TIMEOUT, FAILURES, Socket, SocketClosed, SocketRefused
from tocsin_client.tokens import TokenSource, lifetime, token_of
from tocsin_client.transport import reason

_UNAUTHORIZED: Final = 401  # the status (RFC 9110 §15.5.2)
_TOO_MANY: Final = 429  # the status (RFC 6585 §4)


class Line:
    """Follows with *follower* on connections to *server* until `leave`, or until there is no use in
    coming back. *show* takes each push, and *room* returns when there is room for more; *news*
    takes the rest.
    """

    def __init__(
        self,
        follower: Follower,
        server: str,
        token: TokenSource,
        *,
        show: Callable[[Push], None],
        room: Callable[[], Awaitable[None]],
        news: Callable[[News], None],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._follower = follower
        self._server = server
        self._token = token
        self._show = show
        self._room = room
        self._news = news
        self._context = context
        self._outbox: list[dict[str, Any]] = []
        self._end: Wait | Stop | None = None
        self._wants_token = False
        self._has_one_token = self._asked_again = isinstance(token, str)
        self._left = False
        self._talks = False
        self._bell = anyio.Event()
        self._over = anyio.Event()

    def carry(self, actions: Sequence[Action]) -> None:
        """Take *actions* to be carried out in order, as soon as there is a connection."""
        for action in actions:
            match action:
                case Send():
                    self._outbox.append(action.frame)
                case Show():
                    self._show(action.push)
                case Refresh():
                    self._wants_token = True
                case Wait() | Stop():
                    if self._end is None:
                        self._end = action
                case Synced():
                    self._asked_again = self._has_one_token
                    self._news(action)
                case _:
                    self._news(action)
        self._bell.set()

    def handled(self, push: Push, error: str | None = None) -> None:
        """The program is done with *push*, or refuses it because of *error*."""
        self.carry(self._follower.handled(push, anyio.current_time(), error))

    async def leave(self) -> None:
        """End `run`: what was handled is acknowledged, and the connection closed in order, within
        `CLOSE_TIMEOUT` seconds. Cancelled, the connection may be cut."""
        self._left = True
        self.carry(self._follower.leaving())
        if self._talks:
            with anyio.move_on_after(CLOSE_TIMEOUT):
                await self._over.wait()

    async def run(self) -> Stop | None:
        """Follow; the reason why there is no coming back, None after `leave`. Cancelled, the
        connection is cut: what was handled last may come again.
        """
        try:
            while not self._left:
                end = self._once_more(await self._connect())
                if end is None:
                    continue
                self._news(end)
                if isinstance(end, Stop):
                    return end
                await self._wait(anyio.current_time() + end.delay)
            return None
        finally:
            self._over.set()

    def _once_more(self, end: Wait | Stop | None) -> Wait | Stop | None:
        """*end*, or None where another token may help: the one before may have ended between being
        made and being used, so another is asked for, once."""
        if isinstance(end, Stop) and end.code == UNAUTHENTICATED and not self._asked_again:
            self._asked_again = True
            return None
        return end

    async def _wait(self, until: float) -> None:
        while not self._left and anyio.current_time() < until:
            self._bell = anyio.Event()
            with anyio.move_on_after(until - anyio.current_time()):
                await self._bell.wait()

    # --- One connection --------------------------------------------------------------------------

    async def _connect(self) -> Wait | Stop | None:
        """One connection, from its beginning to its end; None after `leave`."""
        self._end, self._outbox = None, []
        await self._talk()
        return None if self._left else self._end

    async def _talk(self) -> None:
        follower = self._follower
        try:
            with anyio.fail_after(WELCOME_TIMEOUT):
                token = await token_of(self._token)
        except Exception as error:
            self.carry(follower.unreachable("token", detail=str(error) or type(error).__name__))
            return
        try:
            socket = await Socket.connect(self._server, self._context)
        except SocketRefused as refused:
            self.carry(self._refused(refused))
        except TimeoutError:
            self.carry(follower.unreachable(detail="the server does not answer"))
        except SocketClosed:
            self.carry(follower.unreachable(detail="the server does not speak WebSocket"))
        except FAILURES as error:
            self.carry(follower.unreachable(detail=reason(error)))
        else:
            await self._converse(socket, token)

    def _refused(self, refused: SocketRefused) -> list[Action]:
        said = refused.detail or "is this a Tocsin server?"
        if refused.status >= 500 or refused.status == _TOO_MANY:
            text = f"the server said {refused.status}, {said.rstrip('.')}"
            return self._follower.unreachable("refused", refused.after, text)
        code = UNAUTHENTICATED if refused.status == _UNAUTHORIZED else None
        return [Stop("refused", code, f"({refused.status}): {said}")]

    async def _converse(self, socket: Socket, token: str) -> None:
        now = anyio.current_time()
        self.carry(self._follower.opened(now, token, now + lifetime(token)))
        self._talks = True
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, socket)
                await self._write(socket)
                tasks.cancel_scope.cancel()
        finally:
            await socket.close()
            self._talks = False

    async def _read(self, socket: Socket) -> None:
        try:
            while self._end is None:
                await self._room()
                text = await socket.receive()
                self.carry(self._follower.heard(text, anyio.current_time()))
        except SocketClosed as closed:
            self.carry(self._follower.closed(closed.code, closed.reason))

    async def _write(self, socket: Socket) -> None:
        """Send what is to be sent, and keep the follower's deadlines, until the end."""
        while True:
            self._bell = anyio.Event()
            frames, self._outbox = self._outbox, []
            # Where that fails, the reader hears the end, and perhaps a goodbye before it; where the
            # server only reads no more, it hears nothing, and the follower's patience ends.
            try:
                for frame in frames:
                    await socket.send(frame)
            except SocketClosed:
                pass
            if self._end is not None or (self._left and not self._outbox):
                return
            if self._wants_token:
                self._wants_token = False
                await self._refresh()
                continue
            deadline = self._follower.deadline
            with anyio.move_on_after(deadline - anyio.current_time()):
                await self._bell.wait()
            if (now := anyio.current_time()) >= deadline:
                self.carry(self._follower.due(now))

    async def _refresh(self) -> None:
        try:
            # The writer, which keeps the follower's deadlines, waits for it.
            with anyio.fail_after(PONG_TIMEOUT):
                token = await token_of(self._token)
        except Exception:
            # The session ends with its token then, and the next connection asks again.
            return
        expires = anyio.current_time() + lifetime(token)
        self.carry(self._follower.refreshed(token, expires))
