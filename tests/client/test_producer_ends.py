"""The producer when its token, its server or itself is gone: every call ends, with a reason."""

from __future__ import annotations

import httpx
import pytest
import trio

from tests.actors.clock_kit import pass_time
from tocsin_client.errors import ApiError
from tocsin_client.producer import Producer
from tocsin_client.transport import read_answer


def deep() -> httpx.Response:
    return httpx.Response(200, content=b"[" * 100_000)


async def test_a_token_that_cannot_be_had_fails_the_post_and_not_the_producer(autojump_clock):
    tokens: list[str] = []

    def token() -> str:
        if not tokens:
            raise OSError("the provider is away")
        return tokens[0]

    async with Producer("http://node.invalid", token=token, patience=5.0) as producer:
        producer._client = httpx.AsyncClient(transport=httpx.MockTransport(taken))
        with pytest.raises(ApiError) as failed:
            await producer.post("ada", "Hello")
        assert (failed.value.code, failed.value.status) == ("token", 0)
        assert "the provider is away" in failed.value.detail
        tokens.append("tk")
        assert (await producer.post("ada", "Hello")).id == "n1"


def taken(request: httpx.Request) -> httpx.Response:
    return httpx.Response(201, json={"id": "n1", "state": "active"})


@pytest.mark.parametrize("entered", [False, True], ids=["before", "after"])
async def test_a_producer_that_is_not_open_says_so(entered):
    producer = Producer("http://node.invalid", token="tk")
    if entered:
        async with producer:
            pass
    with pytest.raises(RuntimeError):
        await producer.post("ada", "Hello")


async def test_a_post_under_way_when_the_producer_closes_ends(autojump_clock):
    outcomes: list[str] = []

    async def hang(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    async def post(producer: Producer) -> None:
        try:
            await producer.post("ada", "Hello")
        except ApiError as error:
            outcomes.append(error.code)

    producer = Producer("http://node.invalid", token="tk")
    async with trio.open_nursery() as outer, producer:
        producer._client = httpx.AsyncClient(transport=httpx.MockTransport(hang))
        for _ in range(10):
            outer.start_soon(post, producer)
        await pass_time(1.0)
    assert outcomes == ["closed"] * 10


def test_an_answer_that_is_nested_beyond_reason_is_none_of_tocsins():
    with pytest.raises(ApiError) as failed:
        read_answer(deep())
    assert failed.value.code == "not_tocsin"
