"""Fixtures: nodes that share one store and one spool."""

import pytest

from tests.actors.spool_kit import Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()
