"""The HTTP connection of `tocsin load` and of the benchmarks: answers are taken when whole."""

from __future__ import annotations

import asyncio

import pytest

from tests.load.client_kit import connected
from tocsin.load.kept_connection import HttpAnswer, KeptConnection, take_answer

ANSWER = b'HTTP/1.1 201 Created\r\nContent-Length: 11\r\nServer: x\r\n\r\n{"id":"n1"}'


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_an_answer_is_taken_when_it_is_whole_and_what_follows_stays(size):
    buffer = bytearray()
    found: list[HttpAnswer] = []
    stream = ANSWER * 2 + b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nlat"
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        while (answer := take_answer(buffer)) is not None:
            found.append(answer)
    assert found == [HttpAnswer(201, b'{"id":"n1"}')] * 2
    assert buffer.endswith(b"\r\n\r\nlat")


def test_a_connection_answers_one_request_after_the_other():
    async def talk() -> list[int]:
        connection = KeptConnection()
        far = connected(connection)
        statuses = []
        for _ in range(2):
            answer = connection.begin(b"POST")
            assert far.take() == b"POST"
            connection.data_received(ANSWER)
            statuses.append((await answer).status)
        return statuses

    assert asyncio.run(talk()) == [201, 201]


def test_the_end_of_a_connection_fails_what_waits_and_what_is_asked_later():
    async def talk() -> None:
        connection = KeptConnection()
        far = connected(connection)
        waiting = connection.begin(b"POST")
        far.abort()
        with pytest.raises(ConnectionResetError):
            await waiting
        assert not connection.is_open
        with pytest.raises(ConnectionResetError):
            await connection.ask(b"POST")

    asyncio.run(talk())


def test_a_connection_that_is_closed_waits_for_nothing():
    async def talk() -> None:
        connection = KeptConnection()
        far = connected(connection)
        waiting = connection.begin(b"POST")
        connection.close()
        connection.close()
        assert far.ended
        assert waiting.cancelled()

    asyncio.run(talk())
