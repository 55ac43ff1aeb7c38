"""A stream without a device: how it begins, is silent, and ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from tocsin.protocol.closing import Closing
from tocsin.server.auth.principal import Principal
from tocsin.server.credential_watch import CredentialWatch
from tocsin.server.follow.event_stream import EventStream
from tocsin.server.follow.sse_events import event


class Told(EventStream):
    """Tells what the test puts into *told*."""

    def __init__(self, services: Any, principal: Principal) -> None:
        super().__init__(services, principal)
        self.told: list[bytes] = []

    async def gather(self, seconds: float) -> bytes:
        if not self.told:
            await trio.sleep(seconds)  # waits for: the time that is asked for
        told = b"".join(self.told)
        self.told.clear()
        return told


@pytest.fixture
def services() -> Any:
    return SimpleNamespace(
        readiness=SimpleNamespace(stopping=False), credential_watch=CredentialWatch()
    )


@pytest.fixture
def told(services) -> Told:
    return Told(services, Principal(None, frozenset(), "key:k1", None))


async def test_it_begins_with_when_to_come_back_and_silence_is_a_comment(told, autojump_clock):
    async with told as stream:
        assert await anext(stream) == b"retry: 2000\n:\n\n"
        begun = trio.current_time()
        assert await anext(stream) == b":\n\n"
        assert 0 < trio.current_time() - begun <= 25
        stream.told += [event("second", b"1"), event("second", b"2")]
        assert (await anext(stream)).count(b"event: second") == 2


@pytest.mark.parametrize("closing", [Closing.DRAINING, Closing.UNAUTHENTICATED])
async def test_its_last_word_is_a_goodbye(services, told, autojump_clock, closing):
    async with told as stream:
        await anext(stream)
        if closing is Closing.DRAINING:
            services.readiness.stopping = True
        else:
            services.credential_watch.revoked({"k1"})
        stream.told.append(event("second", b"what a revoked key may not see"))
        chunks = [chunk async for chunk in stream]
        assert len(chunks) == 1
        assert f'"code":{closing:d}'.encode() in chunks[0]
        assert b"event: goodbye" in chunks[0]


async def test_once_it_was_left_nothing_watches_it(services, told):
    async with told:
        assert services.credential_watch.keys() == {"k1"}
    assert services.credential_watch.keys() == set()
