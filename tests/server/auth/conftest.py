from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
import trio
from structlog.typing import EventDict

from tests.server.auth.identity_provider_kit import IdentityProvider
from tests.server.auth.issuer_kit import published
from tocsin.server.auth.jwks import KeySet
from tocsin.server.auth.tokens import TokenVerifier


class ManualClock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def provider(nursery: trio.Nursery) -> IdentityProvider:
    provider = IdentityProvider()
    await nursery.start(provider.serve)
    return provider


@pytest.fixture
def key_set(provider: IdentityProvider, clock: ManualClock) -> KeySet:
    provider.keys = [published(0)]
    return KeySet(provider.url, monotonic=clock)


@pytest.fixture
def verifier(key_set: KeySet) -> TokenVerifier:
    return TokenVerifier(key_set=key_set)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """The entries that would have been logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries
