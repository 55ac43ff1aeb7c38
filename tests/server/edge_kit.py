"""A whole edge for tests: front door, WebSocket echo and a Quart application on a real port."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import trio
from quart import request
from quart_trio import QuartTrio

from tocsin.protocol.refusal import refuse
from tocsin.server.admission.forwarded import Forwarding
from tocsin.server.admission.gate import Admission, Admissions
from tocsin.server.admission.limits import Limits
from tocsin.server.api.problems import problem_answer, refusal_of
from tocsin.server.api.serving import ANYONE
from tocsin.server.auth.principal import Principal
from tocsin.server.door.front_door import FrontDoor
from tocsin.server.door.limits import DoorLimits
from tocsin.server.http.application import TURNED_AWAY, About, Incoming, RequestPlan, Turned
from tocsin.server.http.host import HttpHost
from tocsin.server.http.limits import HttpLimits
from tocsin.server.http.response import Lasting, Whole
from tocsin.server.request_head import RequestHead
from tocsin.server.turnstile import SPEAKERS_MAX, Place, Turnstile
from tocsin.server.websocket.codec import JSON
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.frame_stream import FrameStream
from tocsin.server.websocket.handshake import switching_protocols
from tocsin.server.websocket.pace import PaceLimits
from tocsin.server.websocket.wire_frames import text_frame
from tocsin.settings import Settings
from tocsin.wiring import limit_figures

MESSAGE_BYTES_MAX = 16 * 1024
HUGE_BYTES = 64 << 20

UPGRADE_LINES = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
UPGRADE = b"GET /v1/ws HTTP/1.1\r\nHost: h\r\n" + UPGRADE_LINES + b"\r\n"
GET = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
LASTING = {"/endless", "/slow-lasting", "/three", "/none", "/breaks", "/breaks-at-once"}
UNBOUNDED = PaceLimits(1e12, 1e12, 1e12, 1e12)


def masked(opcode: int, payload: bytes, *, first: int | None = None) -> bytes:
    """A frame as a client sends it, with a mask of zeroes."""
    head = bytes((0x80 | opcode if first is None else first,))
    if len(payload) < 126:
        head += bytes((0x80 | len(payload),))
    elif len(payload) < 65536:
        head += bytes((0x80 | 126,)) + len(payload).to_bytes(2, "big")
    else:
        head += bytes((0x80 | 127,)) + len(payload).to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


async def echo(
    stream: trio.SocketStream, head: RequestHead, rest: bytes, turn: Place, address: str
) -> None:
    turn.leave()
    async with open_frames(stream, head, rest) as frames:

        def answer(message: str) -> None:
            if message == "crash":
                raise ZeroDivisionError("as asked")
            frames.offer(text_frame(message.encode()))

        try:
            await frames.listen(answer)
        except Ended as ended:
            refusal = ended.refusal
            frames.finish(JSON.farewell(refusal.closing, refusal.after, refusal.last_words))
        await frames.aclose()


@asynccontextmanager
async def open_frames(
    stream: trio.SocketStream, head: RequestHead, early: bytes, pace: PaceLimits = UNBOUNDED
) -> AsyncIterator[FrameStream]:
    """A WebSocket whose handshake is done."""
    async with trio.open_nursery() as nursery:
        frames = FrameStream(
            stream,
            nursery=nursery,
            crowd=Turnstile(SPEAKERS_MAX),
            outbound_bytes_max=MESSAGE_BYTES_MAX,
            early=early,
        )
        frames.offer(switching_protocols(head))
        frames.admit(pace, MESSAGE_BYTES_MAX)
        yield frames
        nursery.cancel_scope.cancel()


def make_app(edge: "Edge") -> QuartTrio:
    app = QuartTrio("edge")

    @app.before_serving
    async def start() -> None:
        edge.lifespan.append("startup")

    @app.after_serving
    async def end() -> None:
        edge.lifespan.append("shutdown")

    @app.get("/hello")
    async def hello() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/v1/notifications/batch")
    @app.post("/length")
    async def length() -> dict[str, int]:
        return {"length": len(await request.get_data())}

    @app.post("/refuse")
    async def refuse() -> tuple[str, int]:
        return "not you", 401

    @app.get("/slow")
    async def slow() -> str:
        return (await edge.slow()).decode()

    @app.get("/huge")
    async def huge() -> bytes:
        return bytes(HUGE_BYTES)

    @app.get("/crash")
    async def crash() -> str:
        raise ZeroDivisionError("as asked")

    return app


async def no_bytes() -> bytes:
    return b""


@asynccontextmanager
async def lasting(*parts: bytes, end: str = "") -> AsyncIterator[AsyncIterator[bytes]]:
    """A body that is written as it comes; its *end* may be that it has none, or that it breaks."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        for part in parts:
            await trio.lowlevel.checkpoint()
            yield part
        if end == "breaks":
            raise ZeroDivisionError("as asked")
        while end == "none":
            await trio.lowlevel.checkpoint()
            yield bytes(65536)

    async with aclosing(chunks()) as body:
        yield body


class EdgeApplication:
    """Lets everybody in; answers `/lean`, `/livez` and what lasts itself, and leaves the rest to
    Quart."""

    def __init__(
        self,
        body_bytes_max: int = 1 << 20,
        settings: Settings | None = None,
        slow: Callable[[], Awaitable[bytes]] = no_bytes,
    ) -> None:
        settings = settings or Settings()
        self._slow = slow
        self._body_bytes_max = body_bytes_max
        limits = Limits(limit_figures(settings))
        forwarding = Forwarding(settings.forwarded_from)
        self._admissions = Admissions(limits, forwarding, trio.current_time)
        self.refused: list[About] = []
        self.answers: list[tuple[str, int, float]] = []

    def find(self, head: RequestHead) -> RequestPlan | Whole:
        if head.path == "/nothing":
            raise refuse("not_found", "There is nothing at this address.")
        lasts = head.path in LASTING
        return RequestPlan(
            self._body_bytes_max,
            lean=lasts or head.path in {"/lean", "/livez", "/crash-lean"},
            lasts=lasts,
            always=head.path == "/livez",
        )

    def check_websocket(self, head: RequestHead) -> None:
        if head.headers.get("origin") == "https://evil.example":
            raise refuse("forbidden", "Not from there.")

    def known(self, plan: RequestPlan, head: RequestHead) -> Principal | None:
        return ANYONE

    async def identify(self, plan: RequestPlan, head: RequestHead) -> Principal:
        raise AssertionError("everybody is known")

    async def answer(self, incoming: Incoming) -> Whole | Lasting:
        match incoming.head.path:
            case "/crash-lean":
                raise ZeroDivisionError("as asked")
            case "/endless":
                return Lasting(lasting(end="none"), "application/octet-stream")
            case "/three":
                return Lasting(lasting(b"one", b"two", b"three"), "text/plain", (("X-Ours", "a"),))
            case "/none":
                return Lasting(lasting(), "text/plain")
            case "/breaks-at-once":
                return Lasting(lasting(end="breaks"), "text/plain")
            case "/breaks":
                return Lasting(lasting(b"one", end="breaks"), "text/plain")
            case "/slow-lasting":
                return Whole(200, await self._slow())
        assert isinstance(incoming.body, bytes)
        return Whole(200, b'{"length":%d}' % len(incoming.body))

    def address_of(self, peer: str, head: RequestHead) -> str:
        return self._admissions.address_of(peer, head)

    def admit(self, peer: str, head: RequestHead) -> Admission:
        return self._admissions.admit(peer, head)

    def refusal(self, error: Exception, about: About) -> Whole:
        self.refused.append(about)
        return problem_answer(refusal_of(error))

    def turned_away(self, why: Turned, plan: RequestPlan, about: About) -> Whole:
        return problem_answer(TURNED_AWAY[why])

    @property
    def notes_answers(self) -> bool:
        return True

    def answered(self, about: About, status: int, seconds: float) -> None:
        self.answers.append((about.request_id, status, seconds))

    def extra_headers(self, head: RequestHead) -> str:
        return "Vary: Origin\r\n"


async def turned_away(
    stream: trio.SocketStream, head: RequestHead, rest: bytes, turned: Turned, address: str
) -> None:
    await stream.send_all(f"turned away: {turned.value}".encode())


@dataclass
class Edge:
    """The edge as a test sees it. `lifespan` notes what the application went through."""

    lifespan: list[str] = field(default_factory=list)
    slow_entered: trio.Event = field(default_factory=trio.Event)
    slow_may_end: trio.Event = field(default_factory=trio.Event)
    port: int = 0
    application: EdgeApplication = field(init=False)
    door: FrontDoor = field(init=False)
    host: HttpHost = field(init=False)
    nursery: trio.Nursery = field(init=False)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    async def slow(self) -> bytes:
        """An answer that waits for the test's word."""
        self.slow_entered.set()
        await self.slow_may_end.wait()
        return b"done"

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def say(self, *parts: bytes) -> bytes:
        """Send `parts`, then read to the end of the connection."""
        async with await self.connect() as client:
            for part in parts:
                await client.send_all(part)
            return await read_all(client)

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.base, timeout=5, verify=False) as client:
            return await client.get(path)

    async def expect_alive(self) -> None:
        assert (await self.get("/hello")).json() == {"ok": True}


async def read_all(client: trio.SocketStream) -> bytes:
    """Everything to the end; a reset counts as one."""
    read = b""
    try:
        async for data in client:
            read += data
    except trio.BrokenResourceError:
        pass
    return read


async def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition that nobody signals."""
    while not holds():  # noqa: ASYNC110
        await trio.sleep(0.002)  # waits for: what nobody signals, between two looks


Serve = Callable[[trio.SocketStream, RequestHead, bytes, Place, str], Awaitable[None]]


@asynccontextmanager
async def open_edge(
    *,
    limits: HttpLimits | None = None,
    websocket: Serve = echo,
    body_bytes_max: int = 1 << 20,
    settings: Settings | None = None,
    **door: Any,
) -> AsyncIterator[Edge]:
    with trio.fail_after(120):
        edge = Edge()
        edge.application = EdgeApplication(body_bytes_max, settings, edge.slow)
        edge.host = HttpHost(edge.application, make_app(edge), limits=limits or HttpLimits())
        edge.door = FrontDoor(
            websocket=websocket,
            websocket_turned=turned_away,
            http=edge.host.serve,
            limits=DoorLimits(**{"connections_max": 1000} | door),
        )
        listeners = await edge.door.open(["127.0.0.1"], 0)
        edge.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            edge.nursery = nursery
            await nursery.start(edge.host.run)

            def start(stream: trio.SocketStream, address: str) -> None:
                nursery.start_soon(edge.door.handle, stream, address)

            nursery.start_soon(edge.door.accept, listeners, start)
            yield edge
            edge.slow_may_end.set()
            nursery.cancel_scope.cancel()
