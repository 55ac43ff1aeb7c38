"""One HTTP/1.1 connection on Hypercorn, with everything bounded that a client could stretch.

Hypercorn 0.18 on Trio does the parsing, the ASGI conversation and keep-alive. These two subclasses
close what it leaves open, each of which was tried:

- It shields socket writes from cancellation, so a client that does not read holds its connection,
  and a graceful stop, for ever. Here each 64 KiB of a write have a deadline.
- An upgrade to WebSocket or h2c switches protocol. The front door catches the first request of a
  connection; a later one on a kept-alive connection arrives here, and with a byte behind it takes
  the process down. Here an upgrade is ignored, as RFC 9110 §7.8 allows, and the request is plain.
- A request body has no bound in size or time. Here it has both.
- A refusal closes the socket with the rest of the body unread, and the RST destroys the answer.
- Its own refusals have no body. Here they are application/problem+json like all others.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from tocsin.server.linger import read_to_end
from tocsin.server.request_head import BadHead, check_host, problem_body

BATCH_PATH: Final = b"/v1/notifications/batch"
_READ_BYTES: Final = 65536
_WRITE_BYTES: Final = 65536
_UPGRADE: Final = frozenset({b"upgrade", b"http2-settings"})


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """`write_timeout` is for each 64 KiB, so that a large answer to a slow but willing client
    passes; `body_timeout` is for a request's whole body; `batch_bytes_max` is for the body of a
    request to `BATCH_PATH`. Seconds and bytes."""

    body_bytes_max: int = 1 << 20
    batch_bytes_max: int = 16 << 20
    body_timeout: float = 60.0
    write_timeout: float = 10.0
    linger_timeout: float = 2.0
    keep_alive_timeout: float = 75.0
    keep_alive_requests_max: int = 10_000
    head_bytes_max: int = 16 * 1024
    type_base: str = ""

    def body_bytes_max_of(self, target: bytes) -> int:
        """How long the body of a request to *target* may be, in bytes."""
        path, _, _ = target.partition(b"?")
        return self.batch_bytes_max if path == BATCH_PATH else self.body_bytes_max


class BoundedH11(H11Protocol):
    """HTTP/1.1 only, plain requests only, bodies bounded. Refuses with problem+json."""

    def __init__(
        self, limits: HttpLimits, new_request_id: Callable[[], str], *arguments: Any
    ) -> None:
        super().__init__(*arguments)
        self._limits = limits
        self._new_request_id = new_request_id
        self._body_bytes = 0
        self._body_bytes_max = limits.body_bytes_max
        self._refused = False  # we have answered; what the application says now comes too late
        self.body_deadline = inf

    @property
    def is_receiving_body(self) -> bool:
        return self.connection.their_state is h11.SEND_BODY

    @property
    def heard_whole_request(self) -> bool:
        return self.connection.their_state not in {h11.SEND_BODY, h11.ERROR}

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except BadHead as bad:
            await self.refuse(bad)

    async def refuse(self, bad: BadHead) -> None:
        """Answer with a problem, if no answer has begun, and close."""
        await self._answer(bad)
        await self.send(Closed())

    async def _send_error_response(self, status_code: int) -> None:
        # Hypercorn calls this with h11's hint when the peer broke the protocol, then closes.
        detail = {431: "The request's head is too long."}.get(
            status_code, "The request is not valid HTTP/1.1."
        )
        await self._answer(BadHead(status_code, detail))

    async def _answer(self, bad: BadHead) -> None:
        if self._refused or self.connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        self._refused = True
        body = problem_body(bad, type_base=self._limits.type_base)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", self._new_request_id().encode()),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=bad.status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

    async def _check_protocol(self, event: h11.Request) -> None:
        # Hypercorn switches to HTTP/2 here. Nothing is left to switch to.
        if event.http_version not in {b"1.1", b"1.0"} or event.method in {b"PRI", b"CONNECT"}:
            raise BadHead(505, "Only plain requests of HTTP/1.1 and HTTP/1.0 are served here.")

    async def _create_stream(self, request: h11.Request) -> None:
        hosts = [value.decode("latin-1") for name, value in request.headers if name == b"host"]
        check_host(tuple(hosts), required=False)
        lengths = [value for name, value in request.headers if name == b"content-length"]
        if lengths and any(name == b"transfer-encoding" for name, _ in request.headers):
            # RFC 9112 §6.1: two parsers that choose differently are how requests are smuggled.
            raise BadHead(400, "A body has Content-Length or Transfer-Encoding, not both.")
        self._body_bytes_max = self._limits.body_bytes_max_of(request.target)
        if lengths and int(lengths[0]) > self._body_bytes_max:
            raise self._body_too_large()
        self._body_bytes = 0
        self.body_deadline = trio.current_time() + self._limits.body_timeout
        await super()._create_stream(_without_upgrade(request))
        if self.stream is not None:
            # A chunked body shows its size only as it comes.
            handle = self._counting(self.stream.handle)
            self.stream.handle = handle  # type: ignore[method-assign, assignment]

    def _counting(
        self, handle: Callable[[StreamEvent], Awaitable[None]]
    ) -> Callable[[StreamEvent], Coroutine[Any, Any, None]]:
        async def counted(event: StreamEvent) -> None:
            if isinstance(event, Body):
                self._body_bytes += len(event.data)
                if self._body_bytes > self._body_bytes_max:
                    raise self._body_too_large()
            await handle(event)

        return counted

    def _body_too_large(self) -> BadHead:
        return BadHead(413, f"The request's body is longer than {self._body_bytes_max} bytes.")

    async def stream_send(self, event: StreamEvent) -> None:
        if self._refused:
            return
        if isinstance(event, Response) and self.context.terminated.is_set():
            # Say so, or the client sends its next request into a connection that we close.
            event.headers.append((b"connection", b"close"))
        await super().stream_send(event)


def _without_upgrade(request: h11.Request) -> h11.Request:
    if not any(name in _UPGRADE for name, _ in request.headers):
        return request
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[(name, value) for name, value in request.headers if name not in _UPGRADE],
        http_version=request.http_version,
    )


class BoundedTCPServer(TCPServer):
    """Hypercorn's connection loop over a stream of ours, `prefix` first."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        stream: trio.SocketStream,
        *,
        prefix: bytes,
        limits: HttpLimits,
        new_request_id: Callable[[], str],
    ) -> None:
        super().__init__(app, config, context, ConnectionState({}), stream)  # type: ignore[arg-type]
        self._socket = stream.socket
        self._prefix = prefix
        self._limits = limits
        self._new_request_id = new_request_id
        self._heard_all = False
        self._closing = False
        self._reading = trio.CancelScope()
        self.scope = trio.CancelScope()
        self.http: BoundedH11

    async def run(self) -> None:
        """Serve until the client, an error or the context's `terminated` ends it. Closes the
        stream. Cancelling closes at once."""
        try:
            with self.scope:
                await self._run()
        finally:
            self._socket.close()

    async def _run(self) -> None:
        try:
            client = parse_socket_addr(self._socket.family, self._socket.getpeername())
            server = parse_socket_addr(self._socket.family, self._socket.getsockname())
        except OSError:
            return  # the client has gone already
        async with TaskGroup() as tasks:
            self._task_group = tasks
            self.http = BoundedH11(
                self._limits, self._new_request_id, self.app, self.config, self.context, tasks,
                ConnectionState({}), False, client, server, self.protocol_send,
            )  # fmt: skip
            self.protocol = self.http  # type: ignore[assignment]
            await self.protocol.initiate()
            await self.idle_task.restart(tasks, self._idle_timeout)
            with self._reading:
                await self._read_data()
            # From here on nobody must start the idle time-out: it would outlive the connection,
            # since the task of an answer that could not be written restarts it too.
            self._heard_all = True
            await self.idle_task.stop()
            await self.protocol.handle(Closed())
        await self._close()

    def kill(self) -> None:
        """End it now, also a write that is shielded. Does not wait."""
        self.scope.cancel()
        self._socket.close()

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            async with self.send_lock:
                sent = await self._send_bounded(event.data)
            if not sent:
                await self.protocol.handle(Closed())
                # Hypercorn's reader may be waiting for the end of this answer, because another
                # request is pipelined behind it. It would never come.
                self._reading.cancel()
        elif not self._heard_all or isinstance(event, Closed):
            # Shielded too: at the end of a response Hypercorn tells Quart-Trio of the disconnect
            # first, which cancels the very task that goes on here to restart the idle time-out, and
            # the connection would stay open for ever. Bounded because an application that has
            # stopped taking its messages would keep Hypercorn waiting here.
            limits = self._limits
            with trio.move_on_after(limits.linger_timeout + limits.write_timeout, shield=True):
                await super().protocol_send(event)

    async def _send_bounded(self, data: bytes) -> bool:
        # Shielded, as in Hypercorn: Quart cancels a response in the middle (its time-out, a client
        # that closes its half), and half a write must not be followed by another.
        view = memoryview(data)
        try:
            for start in range(0, len(data), _WRITE_BYTES):
                with trio.CancelScope(shield=True) as scope:
                    scope.deadline = trio.current_time() + self._limits.write_timeout
                    await self.stream.send_all(view[start : start + _WRITE_BYTES])
                if scope.cancelled_caught:
                    self._socket.close()
                    return False
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def _read_data(self) -> None:
        data: bytes | None = self._prefix or None
        self._prefix = b""
        while not self._closing:
            try:
                if data is None:
                    data = await self._read_some()
            except trio.TooSlowError:
                await self.http.refuse(BadHead(408, "The request's body did not come in time."))
                break
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                break
            await self.protocol.handle(RawData(data))
            if not data:
                break
            data = None

    async def _read_some(self) -> bytes:
        if not self.http.is_receiving_body:
            return bytes(await self.stream.receive_some(_READ_BYTES))
        with trio.fail_at(self.http.body_deadline):
            return bytes(await self.stream.receive_some(_READ_BYTES))

    async def _close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._reading.cancel()
        try:
            if not self.http.heard_whole_request:
                await read_to_end(self._socket, timeout=self._limits.linger_timeout)
        finally:
            self._socket.close()

    async def _initiate_server_close(self) -> None:
        await self.protocol.handle(Closed())
        await self._close()
