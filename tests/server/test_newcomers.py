"""A crowd at the door has a bounded share of the node, and who says nothing has none."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

from tests.server.edge_kit import GET, UPGRADE, Edge, masked, open_edge, wait_until
from tests.server.test_front_door import make_door
from tocsin.actors.delivery.connections import current_connection
from tocsin.protocol.closing import Closing
from tocsin.protocol.log.cursor import Cursor
from tocsin.server.admission.refusals import Refusals
from tocsin.server.auth.principal import Principal
from tocsin.server.door.front_door import ACCEPTS_MAX
from tocsin.server.services import Readiness
from tocsin.server.turnstile import ATTACHING_MAX
from tocsin.server.websocket.edge import WebSocketEdge


class Handshakes:
    """A WebSocket side whose handshakes last until they are let go."""

    def __init__(self) -> None:
        self.turns: list[Any] = []
        self.ended = trio.Event()

    async def __call__(self, stream, head, rest, turn, address) -> None:
        self.turns.append(turn)
        await self.ended.wait()


@asynccontextmanager
async def crowd(edge: Edge, count: int, said: bytes) -> AsyncIterator[list[trio.SocketStream]]:
    """*count* connections, on each of which *said* was said."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(count):
            client = await stack.enter_async_context(await edge.connect())
            await client.send_all(said)
            clients.append(client)
        yield clients


async def test_so_many_handshakes_go_on_at_a_time():
    handshakes = Handshakes()
    async with open_edge(websocket=handshakes, handshakes_max=2) as edge, crowd(edge, 5, UPGRADE):
        await wait_until(lambda: edge.door.statistics().open == 5)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(handshakes.turns) == 2
        handshakes.turns[0].leave()
        await wait_until(lambda: len(handshakes.turns) == 3)
        handshakes.ended.set()
        await wait_until(lambda: len(handshakes.turns) == 5)


async def test_requests_do_not_wait_behind_websockets():
    handshakes = Handshakes()
    async with open_edge(websocket=handshakes, handshakes_max=1) as edge, crowd(edge, 3, UPGRADE):
        await wait_until(lambda: edge.door.statistics().open == 3)
        await edge.expect_alive()


async def test_a_request_that_only_mentions_websockets_is_answered_in_its_turn():
    handshakes = Handshakes()
    async with open_edge(websocket=handshakes, handshakes_max=1) as edge, crowd(edge, 1, UPGRADE):
        await wait_until(lambda: len(handshakes.turns) == 1)
        handshakes.turns[0].leave()
        answer = await edge.say(GET[:-2] + b"Connection: close\r\nX: websocket\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert len(handshakes.turns) == 1


async def test_silent_and_dribbling_clients_keep_no_newcomer_out():
    handshakes = Handshakes()
    async with (
        open_edge(websocket=handshakes, handshakes_max=1) as edge,
        crowd(edge, 3, b""),
        crowd(edge, 3, UPGRADE[:-2]),
        crowd(edge, 1, UPGRADE),
    ):
        await wait_until(lambda: len(handshakes.turns) == 1)


async def test_a_newcomer_that_has_waited_too_long_for_a_turn_is_told_to_come_back():
    limits: dict[str, Any] = {"handshakes_max": 1, "turn_timeout": 0.05}
    async with open_edge(websocket=Handshakes(), **limits) as edge, crowd(edge, 1, UPGRADE):
        await wait_until(lambda: edge.door.statistics().open == 1)
        answer = await edge.say(UPGRADE)
    assert answer == b"turned away: full"
    assert edge.door.statistics().refused == 1


async def test_of_a_crowd_at_the_door_some_are_let_in_in_each_turn_of_the_loop():
    crowd_size, let_in_at = 20, []
    door = make_door()
    listeners = await door.open(["127.0.0.1"], 0)
    turns = Turns()

    def start(stream: trio.SocketStream, address: str) -> None:
        let_in_at.append(turns.count)
        stream.socket.close()

    address = listeners[0].socket.getsockname()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        for _ in range(crowd_size):
            client = await stack.enter_async_context(await trio.open_tcp_stream(*address))
            await client.send_all(GET)
        trio.lowlevel.add_instrument(turns)
        nursery.start_soon(door.accept, listeners, start)
        await wait_until(lambda: len(let_in_at) == crowd_size)
        trio.lowlevel.remove_instrument(turns)
        nursery.cancel_scope.cancel()
    assert max(let_in_at.count(turn) for turn in let_in_at) == ACCEPTS_MAX


class Turns(trio.abc.Instrument):
    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


# -------------------------------------------------------------- from hello to welcome


class Played:
    """The services behind a `WebSocketEdge`: users arrive, and nothing comes of it."""

    def __init__(self) -> None:
        self.arrived: list[Any] = []
        self.readiness = Readiness()
        self.refusals = Refusals(trio.current_time)
        services = self._services()
        self.edge = WebSocketEdge(services, services)

    def _services(self) -> Any:
        settings = SimpleNamespace(
            origins=(), outbound_bytes_max=65536, frame_bytes_max=16384, hello_timeout=10,
            store_timeout=10, window=64, frames_per_second_max=500,
            frame_bytes_per_second_max=1 << 20,
        )  # fmt: skip
        nobody = SimpleNamespace(
            opened=lambda outlet: None, closed=lambda name: None, belongs=lambda *which: None
        )
        users = SimpleNamespace(
            arrive=lambda user, arrived: self.arrived.append(arrived),
            leave=lambda user, connection: None,
        )
        return SimpleNamespace(
            settings=settings,
            readiness=self.readiness,
            connections=nobody,
            credential_watch=nobody,
            authenticator=SimpleNamespace(known=lambda _: None, from_header=self.identify),
            users=users,
            refusals=self.refusals,
        )

    async def identify(self, header: str) -> Principal:
        return Principal(header, frozenset(), "jwt:ann", None)

    async def serve(self, stream, head, rest, turn, address) -> None:
        current_connection.set(str(id(stream)))
        await self.edge.serve(stream, head, rest, turn, address)


HELLO = masked(1, json.dumps({"type": "hello", "device": "phone"}).encode())


@asynccontextmanager
async def devices(
    played: Played, count: int, **door: Any
) -> AsyncIterator[list[trio.SocketStream]]:
    """*count* devices in their handshake."""
    said = UPGRADE[:-2] + b"Authorization: ann\r\n\r\n"
    async with open_edge(websocket=played.serve, **door) as edge, crowd(edge, count, said) as all_:
        yield all_


async def say_hello(client: trio.SocketStream) -> None:
    assert (await client.receive_some()).startswith(b"HTTP/1.1 101 ")
    await client.send_all(HELLO)


async def test_so_many_devices_attach_at_a_time_and_who_has_gone_meanwhile_does_not():
    played = Played()
    async with devices(played, ATTACHING_MAX + 3) as clients:
        for client in clients[:ATTACHING_MAX]:
            await say_hello(client)
        await wait_until(lambda: len(played.arrived) == ATTACHING_MAX)
        for client in clients[ATTACHING_MAX:]:
            await say_hello(client)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(played.arrived) == ATTACHING_MAX

        played.arrived[0].outlet.begin(Cursor("epoch", 0))
        await wait_until(lambda: len(played.arrived) == ATTACHING_MAX + 1)
        await clients[ATTACHING_MAX + 1].aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        played.arrived[1].outlet.end(Closing.OVERLOADED)
        await wait_until(lambda: len(played.arrived) == ATTACHING_MAX + 2)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(played.arrived) == ATTACHING_MAX + 2


async def test_clients_silent_after_the_handshake_keep_no_newcomer_out():
    played = Played()
    async with devices(played, ATTACHING_MAX + 3, handshakes_max=1) as clients:
        await say_hello(clients[-1])
        await wait_until(lambda: len(played.arrived) == 1)
