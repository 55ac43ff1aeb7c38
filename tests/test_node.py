"""A node in one process with its test: what is true at the moment when it listens."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from servers.machine import free_port
from tocsin.actors.world import real_world
from tocsin.cli.serving.node_process import make_verifier
from tocsin.node import Node
from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.server.auth.tokens import mint
from tocsin.settings import Settings
from tocsin.settings.secrets import DevelopmentSecrets
from tocsin.stores import make_store

SECRET = "a secret of these tests, as long as it has to be"


@asynccontextmanager
async def listening(settings: Settings):
    """A node, from the moment when it says that it listens."""
    world = real_world()
    verifier = make_verifier(settings, DevelopmentSecrets(SECRET, False))
    node = Node(settings, make_store(settings, world), world, verifier)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        yield node
        node.stop()


async def first_post(node: Node) -> int:
    """The status that the first post gets."""
    token = mint(SECRET, "shop", {"notify"}, real_world().now_ms() / 1000, 60.0, None, None)
    body = json.dumps({"to": {"users": ["ada"]}, "title": "Hello"})
    stream = await trio.open_tcp_stream("127.0.0.1", node.port)
    async with stream:
        await stream.send_all(
            f"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        answer = b"".join([data async for data in stream])
    return int(answer.split()[1])


async def refused(port: int) -> None:
    """Wait until nobody listens on *port* any more."""
    with suppress(OSError):
        while True:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()


async def status_of(port: int, path: str) -> int:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join([data async for data in stream])
    return int(answer.split()[1])


def settings_for(directory: Path, **more) -> Settings:
    more = {"drain_time": 0.0} | more
    return Settings(data=directory, port=0, jwt_secret=SECRET, node="n", **more)


@pytest.mark.parametrize("round_", range(30))
async def test_the_first_post_is_stored(tmp_path, round_):
    async with listening(settings_for(tmp_path)) as node:
        assert await first_post(node) == 201


async def test_while_the_store_is_away_the_doors_open_and_say_so(tmp_path):
    database = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    async with open_asyncio_loop():
        with trio.fail_after(30):
            async with listening(settings_for(tmp_path, database=database)) as node:
                assert await first_post(node) == 503


async def test_metrics_are_to_be_seen_while_a_node_that_stops_waits_for_a_request(tmp_path):
    settings = settings_for(tmp_path, drain_time=100.0, metrics_port=0)
    with trio.fail_after(30):
        async with listening(settings) as node:
            assert node.metrics_port is not None
            async with await trio.open_tcp_stream("127.0.0.1", node.port) as under_way:
                await under_way.send_all(b"POST /v1/notifications HTTP/1.1\r\nHost: x\r\n")
                assert await status_of(node.metrics_port, "/metrics") == 200
                node.stop()
                await refused(node.port)
                for _ in range(3):
                    await trio.sleep(0.1)  # waits for: what closes soon after the front door
                    assert await status_of(node.metrics_port, "/metrics") == 200
