"""`tocsin_client` with a real server on the other side, on Trio and on asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.to_thread
import httpx
import pytest

from servers.node import PATIENCE, wait_until
from servers.tokens import PRODUCER, token
from tests.system.server_kit import Server
from tests.system.shared_servers_kit import HASTY
from tocsin_client import ApiError, Changes, Posted, Producer, Stopped, follow
from tocsin_client import sync as blocking
from tocsin_client.actions import News, Synced, Wait
from tocsin_client.posts import draft
from tocsin_client.socket import Socket

SECONDS = PATIENCE
# httpx leaves the iterator over a request's body behind where the server is lost meanwhile.
pytestmark = pytest.mark.filterwarnings("ignore:.*ByteStream.__aiter__")
in_thread = anyio.to_thread.run_sync


@pytest.fixture(params=["trio", "asyncio"])
def run(request):
    """Runs an asynchronous test, which ends."""

    def run(work: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(SECONDS):
                await work()

        anyio.run(bounded, backend=request.param)

    return run


@pytest.fixture(scope="session")
def server(sqlite_servers) -> Server:
    shared: Server = sqlite_servers.get("server", {})
    return shared


def is_acknowledged(producer, notification, device="mailer"):
    line = producer.ledger(notification).get(device, {})
    return line.get("outcome") == "acknowledged"


# --- following ------------------------------------------------------------------------------------


async def take(changes: Changes, number: int) -> list[str]:
    return [(await anext(changes)).notification.title for _ in range(number)]


def test_a_change_is_acknowledged_when_the_next_is_asked_for(server, producer, ada, run):
    first, second = producer.post(ada, title="one"), producer.post(ada, title="two")

    async def work():
        async with follow(server.url, token=token(ada), device="mailer") as changes:
            assert (await anext(changes)).notification.id == first
            assert producer.ledger(first)["mailer"]["outcome"] == "pending"
            assert (await anext(changes)).notification.id == second
            await in_thread(partial(wait_until, partial(is_acknowledged, producer, first)))
            assert changes.device == "mailer"

    run(work)
    assert producer.ledger(second)["mailer"]["outcome"] == "pending"


def test_one_that_comes_later_goes_on_where_it_stopped(server, producer, ada, run):
    for title in ("one", "two", "three"):
        producer.post(ada, title=title)

    async def work():
        async with follow(server.url, token=token(ada), device="mailer") as changes:
            assert await take(changes, 2) == ["one", "two"]
        async with follow(server.url, token=lambda: token(ada), device="mailer") as changes:
            assert await take(changes, 2) == ["two", "three"]
            changes.acknowledge()

    run(work)
    with server.device(ada, "mailer") as device:
        device.expect_synced()


def test_a_refused_change_comes_again_and_holds_up_nothing(sqlite_servers, ada, run):
    server = sqlite_servers.get("hasty", HASTY)
    producer = server.producer()
    producer.post(ada, title="bad")
    good = producer.post(ada, title="good")

    async def work():
        async with follow(server.url, token=token(ada), device="mailer") as changes:
            assert await take(changes, 1) == ["bad"]
            changes.refuse("not yet")
            assert await take(changes, 1) == ["good"]
            changes.acknowledge()
            await in_thread(partial(wait_until, partial(is_acknowledged, producer, good)))
            again = await anext(changes)
            assert (again.notification.title, again.attempt) == ("bad", 2)

    run(work)


def test_an_error_of_the_program_comes_out_as_it_is(server, producer, ada, run):
    done, failed = producer.post(ada, title="done"), producer.post(ada, title="failed")

    async def work():
        async with follow(server.url, token=token(ada), device="mailer") as changes:
            async for push in changes:
                if push.notification.id == failed:
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(work)
    wait_until(partial(is_acknowledged, producer, done))
    assert not is_acknowledged(producer, failed)


def test_another_connection_of_the_device_ends_it_for_good(server, producer, ada, run):
    async def work():
        async with (
            follow(server.url, token=token(ada), device="mailer") as changes,
            anyio.create_task_group() as tasks,
        ):
            # The first of them is there, so the second is the later one.
            producer.post(ada, title="here")
            assert await take(changes, 1) == ["here"]
            tasks.start_soon(replace)
            with pytest.raises(Stopped) as stopped:
                await anext(changes)
            assert stopped.value.reason == "replaced"
            tasks.cancel_scope.cancel()

    async def replace():
        async with follow(server.url, token=token(ada), device="mailer") as changes:
            await anext(changes)

    run(work)


def test_a_token_that_is_not_believed_is_asked_for_once_more(server, producer, ada, run):
    """It may have ended between being made and being used."""
    producer.post(ada, title="Hello")
    tokens = iter(["tk_nonsense", token(ada)])

    async def work():
        async with follow(server.url, token=lambda: next(tokens), device="mailer") as changes:
            assert await take(changes, 1) == ["Hello"]
        with pytest.raises(Stopped) as stopped:
            async with follow(server.url, token="nonsense") as changes:
                await anext(changes)
        assert stopped.value.reason == "unauthenticated"

    run(work)


def test_through_a_server_that_is_killed_each_is_posted_and_told_once(start_server, ada, run):
    """The kill loses a post or its answer, a push or its acknowledgment."""
    own = start_server()
    titles = {f"no. {number}" for number in range(60)}
    told: list[str] = []
    enough = anyio.Event()

    async def work():
        async with (
            Producer(own.url, token=PRODUCER) as producer,
            follow(own.url, token=token(ada), device="mailer") as changes,
            anyio.create_task_group() as tasks,
        ):
            for start in range(0, 60, 20):
                tasks.start_soon(post, producer, range(start, start + 20))
            tasks.start_soon(listen, changes)
            await enough.wait()
            await in_thread(own.kill)
            await in_thread(own.start)

    async def post(producer, numbers):
        for number in numbers:
            await producer.post(ada, f"no. {number}")
            if number % 20 == 4:
                enough.set()

    async def listen(changes):
        while len(told) < len(titles):
            told.extend(await take(changes, 1))

    run(work)
    assert sorted(told) == sorted(titles)
    assert sorted(titles_of(own, ada)) == sorted(titles)


def test_a_server_that_is_not_there_is_tried_again(ada, run):
    news: list[News] = []

    async def work():
        with anyio.move_on_after(1):
            async with follow("http://127.0.0.1:9", token=token(ada), news=news.append) as changes:
                await anext(changes)

    run(work)
    waits = [each for each in news if isinstance(each, Wait)]
    assert len(waits) == len(news)
    assert {(each.reason, each.detail) for each in waits} == {("unreachable", "Connection refused")}


def test_something_that_is_no_tocsin_is_left(run):
    """It answers the handshake with a page, or says what is no frame."""

    async def serve(answer, listener):
        async def talk(stream):
            await stream.receive()
            await stream.send(answer)
            await stream.aclose()

        await listener.serve(talk)

    async def work():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.listeners[0].extra(anyio.abc.SocketAttribute.local_port)
        page = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, page, listener)
            with pytest.raises(Stopped, match=r"\(404\): is this a Tocsin server\?"):
                async with follow(f"http://127.0.0.1:{port}", token="t") as changes:
                    await anext(changes)
            tasks.cancel_scope.cancel()
        await listener.aclose()

    run(work)


def test_cancelled_it_leaves_no_socket_behind(server, ada, run, monkeypatch):
    sockets = []
    connect = Socket.connect

    async def connect_and_tell(*arguments):
        sockets.append(await connect(*arguments))
        return sockets[-1]

    monkeypatch.setattr(Socket, "connect", connect_and_tell)

    async def work():
        synced = anyio.Event()

        def hear(news):
            if isinstance(news, Synced):
                synced.set()

        async def listen():
            async with follow(server.url, token=token(ada), news=hear) as changes:
                await anext(changes)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await synced.wait()
            tasks.cancel_scope.cancel()
        with pytest.raises(anyio.ClosedResourceError):
            await sockets[0]._stream.receive()

    run(work)


# --- posting --------------------------------------------------------------------------------------


def titles_of(server, user):
    answer = httpx.get(
        f"{server.url}/v1/inbox?limit=200",
        headers={"Authorization": f"Bearer {token(user)}"},
        timeout=PATIENCE,
    )
    return [each["title"] for each in answer.json()["notifications"]]


def test_posts_that_come_together_go_in_few_calls(server, ada, run, monkeypatch):
    calls = []
    request = httpx.AsyncClient.request

    async def counted(self, **options):
        calls.append(options)
        return await request(self, **options)

    monkeypatch.setattr(httpx.AsyncClient, "request", counted)

    async def work():
        async with (
            Producer(server.url, token=PRODUCER) as producer,
            anyio.create_task_group() as tasks,
        ):
            for number in range(150):
                tasks.start_soon(producer.post, ada, f"no. {number}")

    run(work)
    assert sorted(titles_of(server, ada)) == sorted(f"no. {number}" for number in range(150))
    assert len(calls) < 20


def test_each_of_many_has_its_own_outcome(server, ada, run):
    drafts = [draft(ada, "good"), draft(ada, ""), draft([ada], "fine", body=None, category="news")]

    async def work():
        async with Producer(server.url, token=lambda: PRODUCER) as producer:
            good, bad, fine = await producer.post_all(drafts)
            assert isinstance(good, Posted)
            assert isinstance(fine, Posted)
            assert isinstance(bad, ApiError)
            assert (bad.status, bad.code, bad.is_passing) == (422, "invalid", False)
            with pytest.raises(ApiError, match="title"):
                await producer.post(ada, "")

    run(work)
    assert titles_of(server, ada) == ["fine", "good"]


def test_the_same_key_posts_once(server, ada, run):
    async def work():
        async with Producer(server.url, token=PRODUCER) as producer:
            first = await producer.post(ada, "Hello", key=f"{ada}/1")
            again = await producer.post(ada, "Hello", key=f"{ada}/1")
            assert (first.replayed, again.replayed, again.id) == (False, True, first.id)
            await producer.update(first.id, title="Hello again")
            assert titles_of(server, ada) == ["Hello again"]
            await producer.withdraw(first.id)
            await producer.withdraw(first.id)

    run(work)
    assert titles_of(server, ada) == []


def test_without_patience_a_failure_is_told_at_once(run):
    async def work():
        async with Producer("http://127.0.0.1:9", token="t", patience=0) as producer:
            with pytest.raises(ApiError) as failed:
                await producer.post("ada", "Hello")
            assert (failed.value.status, failed.value.code) == (0, "unreachable")

    run(work)


# --- without an event loop ------------------------------------------------------------------------


def test_a_program_without_an_event_loop_posts(server, ada):
    with blocking.Producer(server.url, token=lambda: PRODUCER) as producer:
        one = producer.post(ada, "one", key=f"{ada}/1")
        assert producer.post(ada, "one", key=f"{ada}/1") == Posted(one.id, replayed=True)
        outcomes = producer.post_all([draft(ada, "two"), draft(ada, ""), draft(ada, "three")])
        assert [isinstance(each, Posted) for each in outcomes] == [True, False, True]
        with pytest.raises(ApiError):
            producer.post(ada, "")
        producer.update(one.id, title="first")
        assert titles_of(server, ada) == ["three", "two", "first"]
        producer.withdraw(one.id)
        with pytest.raises(ApiError, match="in the path is malformed"):
            producer.update("0", title="x")
    assert titles_of(server, ada) == ["three", "two"]


@pytest.mark.faults
def test_a_program_without_an_event_loop_outlives_a_restart(start_server, ada):
    own = start_server()
    own.kill()
    with blocking.Producer(own.url, token=PRODUCER) as producer:

        def post():
            assert producer.post(ada, "Hello").id

        async def work():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(in_thread, post)
                tasks.start_soon(in_thread, own.start)

        anyio.run(work, backend="trio")
    assert titles_of(own, ada) == ["Hello"]
