from __future__ import annotations

import pytest
import trio

from .identity_provider import IdentityProvider


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
