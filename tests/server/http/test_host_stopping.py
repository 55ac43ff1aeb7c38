"""How a host starts, drains, stops and is cancelled, together with its application."""

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from tests.server.edge_kit import GET, EdgeApplication, open_edge, read_all, wait_until
from tests.server.http.host_kit import read_response, stalled_reader
from tocsin.server.http.host import HttpHost
from tocsin.server.http.lifespan import LifespanFailed
from tocsin.server.http.limits import HttpLimits


async def test_draining_finishes_the_request_in_progress():
    async with open_edge() as edge, await edge.connect() as idle, await edge.connect() as client:
        await idle.send_all(GET)
        await read_response(idle, b'{"ok":true}\n')
        await client.send_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await edge.slow_entered.wait()

        edge.host.begin_drain()
        assert await read_all(idle) == b""
        edge.slow_may_end.set()
        answer = await read_all(client)
        assert answer.endswith(b"done")
        assert b"Connection: close" in answer
        assert (await edge.say(GET)).startswith(b"HTTP/1.1 503 ")

        await edge.host.stop(grace=5)
        assert edge.lifespan == ["startup", "shutdown"]


async def test_stopping_ends_stalled_readers_and_stuck_handlers_within_its_grace():
    limits = HttpLimits(write_timeout=60)
    async with open_edge(limits=limits) as edge:
        clients = [await stalled_reader(edge, path) for path in (b"/huge", b"/endless", b"/slow")]
        await edge.slow_entered.wait()
        await wait_until(lambda: edge.host.connection_count == 3)
        began = trio.current_time()

        await edge.host.stop(grace=0.3)

        assert 0.3 <= trio.current_time() - began < 2
        assert edge.host.connection_count == 0
        assert edge.lifespan == ["startup", "shutdown"]
        for client in clients:
            await client.aclose()


async def test_stopping_an_idle_host_takes_no_time():
    async with open_edge() as edge, await edge.connect() as idle:
        await idle.send_all(GET)
        await read_response(idle, b'{"ok":true}\n')
        with trio.fail_after(1):
            await edge.host.stop(grace=30)


async def test_a_host_that_is_cancelled_lets_go_of_its_connections():
    app = QuartTrio("never ending")

    @app.get("/")
    async def never():
        await trio.sleep_forever()

    client, server = await socket_pair()
    host = HttpHost(EdgeApplication(0), app)
    with trio.fail_after(5):
        async with client, trio.open_nursery() as connections:
            async with trio.open_nursery() as nursery:
                await nursery.start(host.run)
                connections.start_soon(host.serve, server)
                await client.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await wait_until(lambda: host.connection_count == 1)
                nursery.cancel_scope.cancel()
            assert await read_all(client) == b""


async def socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname())
        return client, await listener.accept()


async def test_an_application_that_does_not_start_is_named():
    app = QuartTrio("broken")

    @app.before_serving
    async def fail():
        raise ValueError("no database")

    async def hang(scope, receive, send):
        await trio.sleep_forever()

    async def without_lifespan(scope, receive, send):
        raise AssertionError(scope["type"])

    for broken, words in (
        (app, "no database"),
        (hang, "within 0.05 s"),
        (without_lifespan, "AssertionError"),
    ):
        with pytest.raises(LifespanFailed, match=words):
            await HttpHost(EdgeApplication(0), broken, startup_timeout=0.05).run()


@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_an_application_that_fails_to_shut_down_does_not_hold_the_node(fault, log_text):
    app = QuartTrio("broken")

    @app.after_serving
    async def fail():
        if fault == "raises":
            raise ValueError("no more database")
        await trio.sleep_forever()

    host = HttpHost(EdgeApplication(0), app, shutdown_timeout=0.05)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(host.run)
            await host.stop(grace=1)
    assert "shutdown" in log_text()
