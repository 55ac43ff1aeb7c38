"""A crowd under load to which something is done, on a server of its own."""

from __future__ import annotations

import time

import pytest

from tests.system.crowd_kit import Books, CrowdDevice, eventually
from tests.system.server_kit import Server

SHORT_AND_LONG = [0.5, pytest.param(10.0, marks=pytest.mark.faults)]
"""Seconds under load before the fault."""


def crowd_of(server: Server, users: list[str], devices_each: int) -> list[CrowdDevice]:
    return [
        CrowdDevice(server, user, f"device-{number}")
        for user in users
        for number in range(devices_each)
    ]


async def all_connected(devices: list[CrowdDevice]) -> None:
    await eventually(lambda: all(each.connected.is_set() for each in devices), "all devices")


async def all_received(devices: list[CrowdDevice], books: Books) -> None:
    def missing() -> int:
        return sum(len(books.accepted_for(each.user) - each.received) for each in devices)

    await eventually(lambda: not missing(), lambda: f"{missing()} pushes")


async def some_load(books: Books, seconds: float) -> None:
    """Wait until at least 100 more posts were accepted, for at least *seconds*."""
    accepted, started = len(books.accepted), time.monotonic()
    await eventually(
        lambda: len(books.accepted) > accepted + 100 and time.monotonic() > started + seconds,
        "posts to be accepted",
    )
