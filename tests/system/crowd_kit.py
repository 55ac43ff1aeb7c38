"""Many producers and devices at once, and the books in which every answered notification stands.

The rule of all fault tests: what was answered with success is in the user's log afterwards, once
and in order, and on the device that was there. A post that was answered
with an error, or with silence, may be.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from servers.node import PATIENCE
from servers.tokens import PRODUCER, bearer, token
from tests.system.device_kit import Frame
from tests.system.server_kit import Server
from tocsin.protocol.closing import Closing

ANSWERED_LATE = 30.0
"""Seconds after which a producer gives up on an answer."""


@dataclass
class Books:
    """The posts of producers, and the answers to them. Titles are unique, ids are the server's."""

    users: list[str]
    attempted: dict[str, str] = field(default_factory=dict)
    """Title → user: everything that was sent, whatever came back."""
    accepted: dict[str, str] = field(default_factory=dict)
    """Id → user: what was answered with success: 201, or 202 from the spool."""
    answered: dict[str, str] = field(default_factory=dict)
    """Title → user: the same by title, which is the producer's own."""
    refusals: list[tuple[float, httpx.Response]] = field(default_factory=list)
    silences: int = 0
    kept: set[str] = field(default_factory=set)
    """Titles that were posted with a key until they were answered with success."""

    def accepted_for(self, user: str) -> set[str]:
        return {each for each, whose in self.accepted.items() if whose == user}

    def refused_with(self, status: int) -> list[httpx.Response]:
        return [answer for _, answer in self.refusals if answer.status_code == status]


async def produce(
    server: Server, books: Books, name: str, stop: asyncio.Event, *, keyed: bool = False
) -> None:
    """Post, one after the other, until told to stop; note every outcome.

    *keyed*, each has an idempotency key and is repeated until it is answered with success.
    """
    async with open_http(server) as http:
        for number in count():
            if stop.is_set():
                return
            user = books.users[hash((name, number)) % len(books.users)]
            title = f"{name}-{number}"
            books.attempted[title] = user
            while not await post_once(http, books, user, title, keyed):
                if not keyed or stop.is_set():
                    break


async def post_once(
    http: httpx.AsyncClient, books: Books, user: str, title: str, keyed: bool
) -> bool:
    """Post once, note what came of it, and say whether that was a success."""
    headers = {"Idempotency-Key": title} if keyed else {}
    body = {"to": {"users": [user]}, "title": title}
    try:
        answer = await http.post("/v1/notifications", json=body, headers=headers)
    except httpx.TransportError:
        books.silences += 1
        await asyncio.sleep(0.05)  # waits for: the server, which may be down
        return False
    if answer.status_code in {201, 202}:
        books.answered[title] = user
        if answer.status_code == 201 or not keyed:
            books.accepted[answer.json()["id"]] = user
        # Else a first attempt, whose answer was lost, may be in the log already, under another id.
        if keyed:
            books.kept.add(title)
        return True
    books.refusals.append((time.monotonic(), answer))
    await asyncio.sleep(0.05)  # waits for: whatever was refused to pass
    return False


@asynccontextmanager
async def open_http(server: Server, connections: int = 10):
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(
        base_url=server.url,
        headers=bearer(PRODUCER),
        timeout=ANSWERED_LATE,
        limits=limits,
        verify=False,
    ) as http:
        yield http


class CrowdDevice:
    """A device that comes back whenever it loses its connection, and acknowledges what it gets.

    With *acknowledges* false it only listens. Faults in what it was sent are noted in `faults`.
    """

    def __init__(
        self, server: Server, user: str, name: str, *, acknowledges: bool = True, **hello: Any
    ) -> None:
        self.server = server
        self.user = user
        self.name = name
        self.acknowledges = acknowledges
        self.hello = hello
        self.pushes: dict[str, list[Frame]] = {}
        """Every push of each notification, with the time of its arrival as `at`."""
        self.acknowledged: dict[int, float] = {}
        """Sequence → when its ack was sent."""
        self.frames: list[Frame] = []
        """All frames but pushes."""
        self.faults: list[str] = []
        self.connected = asyncio.Event()
        self.sessions = 0

    def seen(self, type_: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] == type_]

    @property
    def received(self) -> set[str]:
        return set(self.pushes)

    def sent_in_vain(self, crashes: Sequence[float] = (), grace: float = 1.0) -> list[Frame]:
        """Pushes of what this device had acknowledged, later than *grace* seconds before.

        An ack that was on its way when the server crashed does not count: acks are written in
        groups, and a second is far more than any group waits.
        """
        return [
            push
            for pushes in self.pushes.values()
            for push in pushes
            if (acknowledged := self.acknowledged.get(push["sequence"])) is not None
            and push["at"] > acknowledged + grace
            and not any(acknowledged > crash - grace < push["at"] for crash in crashes)
        ]

    async def live(self) -> None:
        """Stay connected until cancelled."""
        while True:
            with suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError, EOFError):
                await self.session()
            self.connected.clear()
            await asyncio.sleep(0.05)  # waits for: the server to come back

    async def session(self) -> None:
        """One connection, to its end."""
        async with open_socket(self.server, self.user) as socket:
            hello = {"type": "hello", "device": self.name, **self.hello}
            await socket.send(json.dumps(hello))
            chain = -1
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "push":
                    chain = self._pushed(frame, chain)
                    if self.acknowledges:
                        await self._acknowledge(socket, frame["sequence"])
                    continue
                self.frames.append(frame)
                if frame["type"] == "welcome":
                    chain = int(frame["cursor"].rpartition(".")[2])
                    self.sessions += 1
                    self.connected.set()

    def _pushed(self, push: Frame, chain: int) -> int:
        push["at"] = time.monotonic()
        self.pushes.setdefault(push["notification"]["id"], []).append(push)
        if push["sequence"] <= chain:
            return chain  # a resend
        if push["previous"] != chain:
            self.faults.append(f"{push['previous']} ≠ {chain} before {push['sequence']}")
        return int(push["sequence"])

    async def _acknowledge(self, socket: ClientConnection, sequence: int) -> None:
        # Closed by the server, perhaps; what it said before that is still to be read.
        with suppress(ConnectionClosed):
            await socket.send(json.dumps({"type": "ack", "sequence": sequence}))
        self.acknowledged.setdefault(sequence, time.monotonic())


def open_socket(server: Server, user: str) -> connect:
    return connect(
        server.websocket_url,
        additional_headers=bearer(token(user)),
        open_timeout=30,
        ping_interval=None,
        compression=None,
        max_queue=None,
        close_timeout=1,
        proxy=None,
    )


async def eventually(
    holds: Callable[[], object], what: str | Callable[[], object], patience: float = 2 * PATIENCE
) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + patience
    while not holds():
        waited_for = what if isinstance(what, str) else what()
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain for {waited_for}"
        await asyncio.sleep(0.02)  # waits for: a condition that nobody signals


@asynccontextmanager
async def running(works: Iterable[Awaitable[None]]):
    """Run *works* beside the block; they are cancelled at its end, and their bugs are raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


@asynccontextmanager
async def load(server: Server, books: Books, producers: int):
    """Producers that post beside the block, and finish their last request at its end.

    Every other one uses idempotency keys, and does not give up before the end.
    """
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(produce(server, books, f"p{number}", stop, keyed=number % 2 == 1))
        for number in range(producers)
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def read_log(server: Server, user: str) -> list[Frame]:
    """The user's whole log, as a device sees it that has never been there.

    It comes back where it is asked to: not all nodes find their store again at the same time.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await _read_log(server, user)
        except ConnectionClosed as closed:
            if closed.rcvd is None or closed.rcvd.code != Closing.STORE_UNAVAILABLE:
                raise
            assert time.monotonic() < deadline, "the store does not come back"
            await asyncio.sleep(1)  # waits for: what the goodbye said


async def _read_log(server: Server, user: str) -> list[Frame]:
    pushes: list[Frame] = []
    async with open_socket(server, user) as socket:
        await socket.send(
            json.dumps({"type": "hello", "device": "auditor", "cursor": "0", "window": 1024})
        )
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] == "synced":
                return pushes
            if frame["type"] == "push" and (
                not pushes or frame["sequence"] > pushes[-1]["sequence"]
            ):
                pushes.append(frame)
                if len(pushes) % 256 == 0:
                    await socket.send(json.dumps({"type": "ack", "sequence": frame["sequence"]}))
    raise AssertionError("the log ended before synced")


async def audit(server: Server, books: Books) -> dict[str, list[Frame]]:
    """Every accepted notification is in its user's log, once; the log has no gaps.

    Returns the logs by user.
    """
    logs = {}
    for user in books.users:
        log = logs[user] = await read_log(server, user)
        ids = [push["notification"]["id"] for push in log]
        assert [push["sequence"] for push in log] == list(range(1, len(log) + 1))
        assert [push["previous"] for push in log] == list(range(len(log)))
        assert len(set(ids)) == len(ids), "a notification is in a log twice"
        missing = books.accepted_for(user) - set(ids)
        assert not missing, f"{len(missing)} answered notifications of {user} are lost"
        for push in log:
            assert books.attempted.get(push["notification"]["title"]) == user
        titles = [push["notification"]["title"] for push in log]
        assert len(set(titles)) == len(titles), "one post is in a log twice"
        kept = {title for title in books.kept if books.attempted[title] == user}
        assert kept <= set(titles)
    return logs
