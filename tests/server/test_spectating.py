"""The stream of what nodes do: its form, and how it ends."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tocsin.actors.spectators import SPECTATORS_MAX, WAITING_MAX, Spectators
from tocsin.protocol.cluster.sightings import Sight, Sighted, Sighting
from tocsin.protocol.refusal import Refused
from tocsin.server.auth.principal import Principal
from tocsin.server.credential_watch import CredentialWatch
from tocsin.server.follow.spectating import SpectatorStream, second_of

NOW_MS = 1_764_547_200_000
SIGHTED = Sighted(
    NOW_MS,
    {"pushed": 12},
    (Sighting(NOW_MS - 5, Sight.PUSHED, "n1", "ada", "phone", "sse"),),
    {"busy": 0.25},
)


class Stage:
    """A node's services, as far as a stream asks for them."""

    def __init__(self) -> None:
        self.spectators = Spectators(lambda sightings: None)
        self.timing = SimpleNamespace(spectators=self.spectators)
        self.readiness = SimpleNamespace(stopping=False)
        self.credential_watch = CredentialWatch()

    def stream(self, credential: str = "jwt:1", expires_at: float = math.inf) -> SpectatorStream:
        services: Any = self
        principal = Principal(None, frozenset({"admin"}), credential, expires_at)
        return SpectatorStream(services, principal, None)

    def tell(self, times: int = 1) -> None:
        for _ in range(times):
            for spectator in self.spectators._here.values():
                spectator.tell("a1", SIGHTED)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_second_is_written_with_all_fields():
    assert second_of("a1", SIGHTED) == {
        "node": "a1",
        "at": "2025-12-01T00:00:00.000Z",
        "counts": {"pushed": 12},
        "events": [
            {
                "at": "2025-11-30T23:59:59.995Z",
                "kind": "pushed",
                "notification": "n1",
                "user": "ada",
                "device": "phone",
                "detail": "sse",
            }
        ],
        "sample": {"busy": 0.25},
    }


async def test_a_second_is_an_event_and_silence_a_comment(stage, autojump_clock):
    async with stage.stream() as stream:
        assert (await anext(stream)).startswith(b"retry: ")
        stage.tell(2)
        chunk = await anext(stream)
        assert chunk.count(b"event: second\n") == 2
        data = chunk.split(b"data: ")[1].split(b"\n")[0]
        assert msgspec.json.decode(data) == second_of("a1", SIGHTED)
        assert await anext(stream) == b":\n\n"
    assert stage.spectators._here == {}


async def test_a_slow_reader_is_told_what_it_missed(stage, autojump_clock):
    async with stage.stream() as stream:
        await anext(stream)
        stage.tell(WAITING_MAX + 2)
        assert b'event: missed\ndata: {"seconds":2}' in await anext(stream)
        stage.tell()
        assert b"missed" not in await anext(stream)


async def test_it_ends_when_the_node_stops(stage, autojump_clock):
    async with stage.stream() as stream:
        await anext(stream)
        stage.readiness.stopping = True
        assert b'"code":4000' in await anext(stream)
        assert [chunk async for chunk in stream] == []


async def test_it_ends_with_its_credential(stage, autojump_clock):
    async with stage.stream(expires_at=NOW_MS / 1000 + 60) as stream:
        await anext(stream)
        stage.tell()
        assert b"event: second" in await anext(stream)
        stage.credential_watch.expired(NOW_MS + 59_999)
        stage.tell()
        assert b"event: second" in await anext(stream)
        stage.credential_watch.expired(NOW_MS + 60_000)
        assert b'"code":4401' in await anext(stream)


async def test_it_ends_when_its_key_is_revoked(stage, autojump_clock):
    async with stage.stream("key:abc") as stream:
        await anext(stream)
        assert stage.credential_watch.keys() == {"abc"}
        stage.credential_watch.revoked({"abc"})
        assert b'"code":4401' in await anext(stream)
        assert [chunk async for chunk in stream] == []
    assert stage.credential_watch.keys() == set()


async def test_there_are_so_many_and_no_more(stage, autojump_clock):
    for _ in range(SPECTATORS_MAX):
        stage.spectators.enter(None)
    with pytest.raises(Refused):
        async with stage.stream():
            pass
