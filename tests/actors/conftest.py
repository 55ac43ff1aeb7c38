"""Fixtures: nodes that share one store and one spool, and a storage actor by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.actors.clock_kit import pass_time
from tests.actors.spool_kit import Cluster
from tests.actors.store_kit import FakeStore, Stage, staged


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def stage(autojump_clock) -> AsyncIterator[Stage]:
    """A storage actor that is at rest, on a store whose transactions take 10 ms."""
    async with staged(FakeStore(latency=0.01)) as stage:
        await pass_time(1)
        yield stage
