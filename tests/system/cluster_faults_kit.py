"""Faults of a cluster: how long they last, and the load under which they happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from cluster.topology import Topology
from tests.system.cluster_kit import Trial
from tests.system.server_kit import Server, fresh_user

LONG = partial(pytest.param, marks=pytest.mark.faults)
NewCluster = Callable[..., Topology[Server]]
IMPATIENT = {"store-timeout": 3}
"""For a store that says nothing: its nodes give it up sooner than after 10 s."""


def seconds(short: float, long: float) -> pytest.MarkDecorator:
    """How long the fault lasts: the short time always, the long one with `--faults`."""
    return pytest.mark.parametrize("lasting", [short, LONG(long)])


def put_to_the_test(trial: Trial, fault: Callable[[], object]) -> None:
    """Let *fault*, a coroutine function, happen under load, and account for everything."""

    async def scenario() -> None:
        async with trial.going_on():
            outcome = fault()
            assert asyncio.iscoroutine(outcome)
            await outcome

    asyncio.run(scenario())


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)  # waits for: nothing; it is how long something is broken


def newcomers(cluster: Topology[Server]) -> set[str]:
    """The nodes that twenty devices get to, who come now."""
    nodes = set()
    for number in range(20):
        with cluster.front.device(fresh_user(), f"newcomer-{number}") as device:
            nodes.add(device.welcome["node"])
    return nodes
