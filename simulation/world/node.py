"""A node: the product's trunk in a simulated process, behind doors without sockets.

Authentication, sessions and the operations of the API are the product's. This file replaces only
the network's side of a node's doors: a real node has Hypercorn and Quart there; here a request is a
value and a connection is a `network.Connection`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
import trio

from simulation.world.network import Connection
from simulation.world.scheduling import Process
from tocsin.actors.delivery.connections import current_connection
from tocsin.actors.escalation.configured import ConfiguredChannels
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime.errors import ActorError, RestartLimitExceeded
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.sinks.terms import SinkTerms
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.world import World
from tocsin.persistence.store import Store
from tocsin.protocol.outbound import OutboundPort
from tocsin.server.api.all_operations import OPERATIONS
from tocsin.server.api.operation import Answer, Operation, Streamed
from tocsin.server.api.problems import problem_answer, refusal_of
from tocsin.server.api.serving import Asked, identify_caller, known_caller, serve, whole
from tocsin.server.connector_status import ConnectorTerms
from tocsin.server.http.limits import HttpLimits
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services
from tocsin.server.websocket.edge import Credentials, WebSocketEdge
from tocsin.server.websocket.outlet import WebSocketOutlet
from tocsin.settings import Settings
from tocsin.trunk import Trunk
from tocsin.wiring import ClusterPorts, token_verifier

logger = structlog.get_logger(__name__)

_BY_NAME: Final[Mapping[str, Operation]] = {each.name: each for each in OPERATIONS}
_WRITE_TIMEOUT: Final = HttpLimits().write_timeout
_PARTS_MAX: Final = 100
"""Actors directly below the root: more than there are."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the HTTP API; *operation* is the name of its handler."""

    operation: str
    token: str
    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Response(msgspec.Struct, frozen=True):
    """The answer to a `Request`; the *body* of a problem is its code."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Node:
    """One process of a node, from start to end; *ports* is `None` for a node without a bus."""

    def __init__(
        self,
        settings: Settings,
        process: Process,
        store: Store,
        world: World,
        ports: ClusterPorts | None,
        outbound: OutboundPort,
        connectors: Sequence[ConnectorTerms] = (),
        sinks: Sequence[SinkTerms] = (),
        channels: ConfiguredChannels | None = None,
    ) -> None:
        self.process = process
        self._settings = settings
        self._world = world
        self._ports = ports
        self._verifier = token_verifier(settings, settings.jwt_secret)
        self._trunk = Trunk(
            settings,
            store,
            world,
            self._verifier,
            ports,
            outbound=outbound,
            connectors=connectors,
            sinks=sinks,
            channels=channels,
        )
        self._scope = trio.CancelScope()
        self._stop = trio.Event()
        self.services: Services | None = None
        self.failure: str | None = None

    async def run(self) -> None:
        """Run until stopped; or, after a kill, until `clear_away` cancels the remaining tasks."""
        try:
            with self._scope:
                async with open_supervisor("", self._world.random) as tree:
                    services = self._trunk.services
                    await self._trunk.start(tree)
                    self._publishing = Publishing(services)
                    self._edge = WebSocketEdge(services, self._publishing)
                    self._trunk.services.readiness.started = True
                    self.services = services
                    await self._stop.wait()
                    await trio.sleep(self._settings.drain_notice_time)
                    await self._trunk.stop(tree)
        except* RestartLimitExceeded as group:
            self.failure = str(group.exceptions[0])
        finally:
            self.services = None

    def stop(self) -> None:
        """Drain, and end."""
        self._trunk.services.readiness.stopping = True
        self._stop.set()

    @property
    def topics(self) -> Topics:
        """Who is online in which topic."""
        return self._trunk.topics

    @property
    def ledger(self) -> Ledger:
        """What is still to be written of it."""
        return self._trunk.ledger

    @property
    def is_stopping(self) -> bool:
        """Whether the node was told to stop."""
        return self._stop.is_set()

    def has_part(self, name: str) -> bool:
        """Whether the actor *name*, directly below the root, has not ended yet."""
        services = self.services
        parts = () if services is None else services.snapshot(_PARTS_MAX)
        return any(part.path == f"/{name}" for part in parts)

    def clear_away(self) -> None:
        """Cancel the remaining tasks of a dead process."""
        self._scope.cancel()

    @property
    def is_ready(self) -> bool:
        """What a balancer finds at `/readyz`, store and all."""
        readiness = self._trunk.services.readiness
        is_up = self.services is not None and not (self.process.is_dead or self.process.is_stopped)
        return is_up and not readiness.stopping and self._trunk.services.status.available

    # --- Doors -----------------------------------------------------------------------------------

    def connect(self, connection: Connection, token: str) -> None:
        """Open a WebSocket; the connection ends if the node cannot serve it."""

        async def serve() -> None:
            await self._serve_websocket(connection, token)

        self._start(serve, connection)

    def request(self, request: Request, connection: Connection) -> None:
        """Make *request*, whose answer goes through *connection*.

        The last thing that the connection carries is a `Response`; for a stream it is the end.
        """
        scope = trio.CancelScope()
        connection.serve(left=scope.cancel)

        async def serve() -> None:
            with scope:
                answer = await self._respond(request)
                if isinstance(answer, Response):
                    connection.finish(answer)
                else:
                    await _pour(answer, connection)

        self._start(serve, connection)

    def _start(self, serve: Callable[[], Any], connection: Connection) -> None:
        async def serve_to_the_end() -> None:
            try:
                await serve()
            finally:
                connection.finish(b"")

        try:
            if self.services is None:
                raise ConnectionRefusedError
            self.services.connections.start(serve_to_the_end)
        except (ActorError, ConnectionRefusedError):
            connection.finish(b"")

    async def _serve_websocket(self, connection: Connection, token: str) -> None:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                outlet = WebSocketOutlet(current_connection.get(), connection, scope)
                credentials = Credentials(None, f"Bearer {token}")
                await self._edge.converse(nursery, _Channel(connection), outlet, credentials)
            nursery.cancel_scope.cancel()

    async def _respond(self, request: Request) -> Response | Streamed:
        operation = _BY_NAME[request.operation]
        try:
            answer = await self.call(request)
            if isinstance(answer, Streamed):
                return answer
            written = whole(operation, answer)
        except Exception as error:
            refusal = refusal_of(error)
            written = problem_answer(refusal)
            return Response(written.status, refusal.code.encode(), dict(written.headers))
        return Response(written.status, written.body or b"", dict(written.headers))

    async def call(self, request: Request) -> Answer | Streamed:
        """Serve *request* as the HTTP door does, and return the operation's answer.

        Raises `Refused` or an error of authentication.
        """
        services = self.services
        assert services is not None
        operation, authenticator = _BY_NAME[request.operation], services.authenticator
        authorization = f"Bearer {request.token}"
        principal = known_caller(operation, authenticator, authorization)
        if principal is None:
            principal = await identify_caller(operation, authenticator, authorization, None)
        asked = Asked(
            principal=principal,
            path=request.path,
            query={name: [value] for name, value in request.query.items()},
            header=request.headers.get,
            body=request.body,
        )
        return await serve(operation, services, self._publishing, asked)


async def _pour(streamed: Streamed, connection: Connection) -> None:
    """Send the chunks of a streamed body; each waits until the one before was taken."""

    def write_now(chunk: bytes) -> bool:
        connection.offer(chunk)
        return connection.is_taken

    async with streamed.body as chunks:
        async for chunk in chunks:
            connection.offer(chunk)
            with trio.move_on_after(_WRITE_TIMEOUT) as patience:
                await connection.wait_taken()
            if patience.cancelled_caught:
                break
            if streamed.direct is not None:
                streamed.direct(write_now)


class _Channel:
    """The messages of a connection, as `tocsin.server.websocket.edge` receives them."""

    def __init__(self, connection: Connection) -> None:
        self._received: Callable[[str], None] | None = None
        self._early: deque[str] = deque()
        self._moved = trio.lowlevel.ParkingLot()
        self._has_left = False
        connection.serve(received=self._take, left=self._left)

    async def first_message(self) -> str | None:
        while not (self._early or self._has_left):
            await self._moved.park()
        return self._early.popleft() if self._early else None

    async def listen(self, received: Callable[[str], None]) -> None:
        while self._early:
            received(self._early.popleft())
        self._received = received
        while not self._has_left:
            await self._moved.park()

    def admit(self, limits: object, message_bytes_max: int) -> None:
        """No limits: the simulation's clients flood no node."""

    def has_gone(self) -> bool:
        return self._has_left

    def _take(self, text: str | None) -> None:
        if text is None:
            return  # A pong has no text; that something came was noted by the connection.
        if self._received is not None:
            self._received(text)
        else:
            self._early.append(text)
            self._moved.unpark_all()

    def _left(self) -> None:
        self._has_left = True
        self._moved.unpark_all()
