"""Requests of many clients at once: no turn of the event loop is long."""

import os
import time
from collections import Counter

import pytest
import trio
import trio.testing

from tests.server.edge_kit import GET, open_edge
from tests.server.http.host_kit import ENDS, post, read_response


async def test_many_requests_in_one_packet_let_others_run():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with open_edge() as edge, await edge.connect() as client:
        edge.nursery.start_soon(count)
        await client.send_all(b"GET /lean HTTP/1.1\r\nHost: h\r\n\r\n" * 800)
        read = b""
        turns = 0
        while read.count(b"HTTP/1.1 200 ") < 800:
            read += await client.receive_some()
        assert turns >= 100


@pytest.mark.parametrize("pipelined", [8, 100])
async def test_turns_stay_short_however_many_connections_say_much_at_once(monkeypatch, pipelined):
    """Each of a hundred has requests in a row; in one turn few of them are answered."""
    answered = Counter[int]()
    turn = 0

    async def count():
        nonlocal turn
        while True:
            turn += 1
            await trio.lowlevel.checkpoint()

    async def ask(edge, each):
        async with await edge.connect() as client:
            for _ in range(400 // pipelined):
                await client.send_all(b"GET /lean HTTP/1.1\r\nHost: h\r\n\r\n" * pipelined)
                read = b""
                while read.count(b"HTTP/1.1 200 ") < pipelined:
                    read += await client.receive_some()

    async with open_edge() as edge:
        answer = edge.host.shared.application.answer

        async def counted(incoming):
            answered[turn] += 1
            return await answer(incoming)

        monkeypatch.setattr(edge.host.shared.application, "answer", counted)
        edge.nursery.start_soon(count)
        async with trio.open_nursery() as nursery:
            for each in range(60):
                nursery.start_soon(ask, edge, each)
    by_turn = sorted(answered.values())
    assert sum(by_turn) == 60 * 400
    # At first everybody has some at once.
    assert by_turn[-10] <= 60 + 4 * 8


async def test_a_refused_client_stands_in_line_with_its_next_request(monkeypatch):
    tried = Counter[int]()
    turn = 0

    async def count():
        nonlocal turn
        while True:
            turn += 1
            await trio.lowlevel.checkpoint()

    async with open_edge() as edge:
        find = edge.host.shared.application.find

        def counted(head):
            tried[turn] += 1
            return find(head)

        monkeypatch.setattr(edge.host.shared.application, "find", counted)
        edge.nursery.start_soon(count)
        clients = [await edge.connect() for _ in range(40)]
        for round_ in range(3):
            tried.clear()
            for client in clients:
                os.write(client.socket.fileno(), GET.replace(b"hello", b"nothing"))
            for client in clients:
                await read_response(client, b"}\n")
            assert round_ == 0 or max(tried.values()) <= 10
        for client in clients:
            await client.aclose()
    assert tried.total() == 40


async def test_few_requests_begin_on_the_lane_of_the_framework_in_one_turn(monkeypatch):
    entered = Counter[int]()
    turn = 0

    async def count():
        nonlocal turn
        while True:
            turn += 1
            await trio.lowlevel.checkpoint()

    async with open_edge() as edge:
        app = edge.host.shared.app

        async def counted(*arguments):
            entered[turn] += 1
            await app(*arguments)

        monkeypatch.setattr(edge.host.shared, "app", counted)
        edge.nursery.start_soon(count)
        clients = [await edge.connect() for _ in range(40)]
        for client in clients:
            await client.send_all(GET)
        for client in clients:
            await read_response(client, ENDS)
        entered.clear()
        for client in clients:
            os.write(client.socket.fileno(), GET)  # without a turn between them
        for client in clients:
            await read_response(client, ENDS)
            await client.aclose()
    assert entered.total() == 40
    assert max(entered.values()) <= 5


async def test_a_body_of_tiny_chunks_lets_others_run():
    tiny = b"4\r\nxxxx\r\n" * 10_000 + b"0\r\n\r\n"
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            started = time.thread_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.thread_time() - started)

    async def send(edge, path):
        async with await edge.connect() as client:
            await client.send_all(post(path, b"Transfer-Encoding: chunked") + tiny)
            read = b""
            while b'{"length":40000}' not in read:
                read += await client.receive_some()

    async with open_edge() as edge:
        edge.nursery.start_soon(watch)
        async with trio.open_nursery() as nursery:
            for path in (b"/lean", b"/length") * 6:
                nursery.start_soon(send, edge, path)
    assert longest < 0.1  # a turn in which each takes apart what it has read is half a second
