"""A cluster under load, and the account of every notification on every device.

The rule of `crowd` holds for many nodes as for one: what was answered with success, at once or
spooled, is in the user's log afterwards, once and in its producer's order, and on every device that
was there, in the log's order. A device is sent nothing again that it had acknowledged, but for what
it acknowledged while something was broken.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime

from cluster.topology import Topology
from tests.system.crowd_kit import Books, CrowdDevice, audit, eventually, load, running
from tests.system.device_kit import Frame
from tests.system.server_kit import Server, fresh_user

ACK_GRACE = 1.0
"""Seconds for an acknowledgment to become durable; it is written in groups, and far sooner."""


class Trial:
    """*users*, each with *devices* devices, on a cluster to which something is done."""

    def __init__(self, cluster: Topology[Server], *, users: int = 6, devices: int = 3) -> None:
        self.cluster = cluster
        self.books = Books([fresh_user() for _ in range(users)])
        self.devices = [
            CrowdDevice(cluster.front, user, f"device-{number}")
            for user in self.books.users
            for number in range(devices)
        ]
        self.troubles: list[list[float]] = []
        """From when to when something was broken."""

    @asynccontextmanager
    async def going_on(self, producers: int = 6) -> AsyncIterator[None]:
        """Devices that listen, and producers that post; in the end everything is accounted for."""
        async with running(device.live() for device in self.devices):
            await self.all_connected()
            async with load(self.cluster.front, self.books, producers):
                await self.some_load()
                yield
                await self.some_load()
            await self.all_connected()
            await self.all_received()
            await self.settle_accounts()

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Something is broken within the block."""
        now = time.monotonic()
        self.troubles.append([now, now])
        yield
        self.troubles[-1][1] = time.monotonic()

    async def some_load(self, posts: int = 60, seconds: float = 0.5) -> None:
        """Wait until *posts* more were accepted, for at least *seconds*."""
        answered, started = len(self.books.answered), time.monotonic()
        await eventually(
            lambda: (
                len(self.books.answered) >= answered + posts
                and time.monotonic() > started + seconds
            ),
            lambda: f"{posts} posts; the last refusals: {self.last_refusals()}",
            patience=60,
        )

    def last_refusals(self) -> list[str]:
        return [f"{answer.status_code} {answer.text}" for _, answer in self.books.refusals[-3:]]

    async def all_connected(self) -> None:
        await eventually(
            lambda: all(device.connected.is_set() for device in self.devices),
            lambda: f"{sum(not each.connected.is_set() for each in self.devices)} devices",
            patience=60,
        )

    async def all_received(self) -> None:
        """Wait until every device has what was answered by now; more is posted meanwhile."""
        posted = list(self.books.answered.items())

        def missing() -> int:
            return sum(
                len({title for title, user in posted if user == device.user} - titles(device))
                for device in self.devices
            )

        await eventually(lambda: not missing(), lambda: f"{missing()} pushes", patience=60)

    async def settle_accounts(self) -> None:
        """See the module."""
        logs = await audit(self.cluster.front, self.books)
        for user, log in logs.items():
            written = {push["notification"]["title"] for push in log}
            lost = {each for each, whose in self.books.answered.items() if whose == user} - written
            assert lost == set(), f"the log of {user}"
            assert out_of_order(log, self.books.kept) == [], f"the log of {user}"
        for device in self.devices:
            assert device.faults == [], f"{device.name} of {device.user}"
            ids = {push["notification"]["id"] for push in logs[device.user]}
            assert device.received == ids, f"{device.name} of {device.user}"
            assert self.sent_in_vain(device) == [], f"{device.name} of {device.user}"

    def sent_in_vain(self, device: CrowdDevice) -> list[Frame]:
        """The pushes of *device* that came again though their acknowledgments must be durable."""
        return [
            push
            for pushes in device.pushes.values()
            for push in pushes
            if (acknowledged := device.acknowledged.get(push["sequence"])) is not None
            and push["at"] > acknowledged + ACK_GRACE
            and not any(
                start - ACK_GRACE < acknowledged < end + ACK_GRACE for start, end in self.troubles
            )
        ]

    def lateness(self, since: float) -> float:
        """Seconds from being created to the first push on a device, at most, of what was created
        after the moment *since* (monotonic)."""
        offset = time.time() - time.monotonic()
        firsts = [
            (datetime.fromisoformat(first["notification"]["created_at"]).timestamp(), first["at"])
            for device in self.devices
            for first, *_ in device.pushes.values()
        ]
        late = [at + offset - made for made, at in firsts if made > since + offset]
        return max(late, default=0.0)

    def where(self) -> dict[str, int]:
        """How many devices each node has, by their last welcome."""
        nodes = [device.seen("welcome")[-1]["node"] for device in self.devices]
        return {node: nodes.count(node) for node in nodes}

    def last_status(self, hop: str) -> set[str]:
        """The last statuses of *hop* that the devices were told, if any."""
        told = [device.seen("status") for device in self.devices]
        return {frames[-1][hop] for frames in told if frames}

    async def all_told(self, hop: str, state: str, patience: float = 15.0) -> None:
        """Wait until every device has been told so, and nothing else since."""

        def others() -> Sequence[str]:
            return [
                device.user
                for device in self.devices
                if not device.seen("status") or device.seen("status")[-1][hop] != state
            ]

        await eventually(
            lambda: not others(), lambda: f"{hop} {state} at {len(others())} devices", patience
        )


def titles(device: CrowdDevice) -> set[str]:
    return {pushes[0]["notification"]["title"] for pushes in device.pushes.values()}


def out_of_order(log: Sequence[Frame], kept: set[str]) -> list[str]:
    """Titles that stand behind a later one of the same producer.

    Only of those with idempotency keys, who go on when they have their answer. Others may give up
    on an answer, and what they posted then comes when it comes.
    """
    last: dict[str, int] = {}
    wrong = []
    for push in log:
        title = push["notification"]["title"]
        if title in kept:
            producer, _, number = title.rpartition("-")
            if int(number) < last.get(producer, -1):
                wrong.append(title)
            last[producer] = int(number)
    return wrong
