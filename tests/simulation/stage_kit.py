"""A stage for checks: a cluster that has only a store, and stories told by the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import trio

from simulation.checks.check import Check
from simulation.world.chance import Chance
from simulation.world.history import Frame, History, RequestStory, SessionStory, Violation
from simulation.world.plan import Plan
from simulation.world.services import SharedStore
from tocsin.protocol.values import from_datetime

EPOCH = "epoch"


@dataclass
class Stage:
    """A cluster whose time is *now*, moved by the test; each story happens at that time."""

    plan: Plan = field(default_factory=lambda: Plan(users=2, nodes=2))
    now: float = 0.0
    devices: list[Any] = field(default_factory=list)
    producers: list[Any] = field(default_factory=list)
    queues: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = History(now=lambda: self.now)
        self.store = SharedStore(Chance(1, "store"), self.now_ms)
        self.hosts = {name: a_host() for name in self.plan.node_names}
        self.broker = SimpleNamespace(spooled=0, has_claim=lambda key: False)
        self.timeline = SimpleNamespace(after=lambda *_: None)
        trio.run(self.store.open)

    # --- Parts of a cluster for checks -----------------------------------------------------------

    def violated(self, promise: str, subject: str, what: str) -> None:
        self.history.violations.append(Violation(self.now, promise, subject, what))

    def moment_of(self, text: str) -> float:
        return from_datetime(datetime.fromisoformat(text)) / 1000

    def now_ms(self) -> int:
        return int(self.now * 1000)

    # --- Verbs for tests -------------------------------------------------------------------------

    def watched_by(self, check: type[Check]) -> Any:
        made = check(cast(Any, self), self.devices)
        self.history.watch(made)
        return made

    @property
    def complaints(self) -> list[str]:
        """The violations so far: promise and text."""
        return [f"{each.promise} {each.what}" for each in self.history.violations]

    def complains(self, promise: str, *words: str) -> bool:
        """Whether there is only one complaint, about *promise* and with all *words*."""
        if len(self.complaints) != 1:
            return False
        (complaint,) = self.complaints
        return complaint.startswith(promise) and all(word in complaint for word in words)

    @contextmanager
    def trouble(self, who: str, what: str) -> Iterator[None]:
        self.history.trouble(who, what)
        yield
        self.history.mended(who, what)

    def put(self, sql: str, *parameters: object) -> None:
        self.store.rows(sql, *parameters)

    def notify(self, id_: str, title: str, *, standing: str = "active", **facts: Any) -> None:
        """Put a notification into the store."""
        document = f'{{"id":"{id_}","title":"{title}","body":null}}'
        columns = {"topic": None, "collapse_key": None, "expires_at": None} | facts
        self.put(
            "INSERT INTO notifications (id, revision, category, created_at, updated_at, standing,"
            " credential, document_bytes, document, topic, collapse_key, expires_at)"
            " VALUES (?, 1, 'default', 0, 0, ?, 'p0', 1, ?, ?, ?, ?)",
            *(id_, standing, document),
            *(columns["topic"], columns["collapse_key"], columns["expires_at"]),
        )

    def enter(self, user: str, id_: str, sequence: int, state: str = "unseen") -> None:
        """Put the notification into the log of *user*."""
        self.put(
            "INSERT INTO inbox (notification_id, user_id, sequence, created_sequence, state)"
            " VALUES (?, ?, ?, ?, ?)",
            *(id_, user, sequence, sequence, state),
        )

    def count(self, user: str, head: int, unread: int, unseen: int) -> None:
        self.put("INSERT INTO users VALUES (?, ?, ?, ?, 0, 0, 0)", user, head, unread, unseen)

    def told(self, request: RequestStory, status: int | None, answer: Any = None) -> RequestStory:
        """Ask *request* now, and answer it at once."""
        request.asked_at = self.now
        self.history.asked(request)
        request.answered_at, request.status, request.answer = self.now, status, answer
        self.history.answered(request)
        return request

    def session(self, **facts: Any) -> Told:
        """A session of u0/d0 that has been welcomed."""
        return Told(self, **facts)


class Told:
    """A session whose frames the test tells; each is heard as soon as it is sent."""

    def __init__(
        self,
        stage: Stage,
        *,
        hello: str | None = None,
        start: int = 0,
        head: int = 0,
        transport: str = "websocket",
        host: str = "a",
        device: str = "d0",
        window: int = 64,
    ) -> None:
        self.stage = stage
        self.story = SessionStory("u0", device, transport, host, 1, stage.now, hello)
        self._last = start
        stage.history.opened(self.story)
        welcome = {
            "type": "welcome",
            "user": "u0",
            "device": device,
            "epoch": EPOCH,
            "cursor": f"{EPOCH}.{start}",
            "head": head,
            "unread": 0,
            "unseen": 0,
            "window": window,
            "resend": {"delay": 10.0, "limit": 5},
        }
        self.story.welcome = welcome
        self.hear(welcome)

    def hear(self, frame: Frame, *, sent_at: float | None = None) -> None:
        at = self.stage.now if sent_at is None else sent_at
        self.stage.history.heard(self.story, frame, at)

    def synced(self, sequence: int) -> None:
        self.hear({"type": "synced", "sequence": sequence})

    def push(self, sequence: int, *, sent_at: float | None = None, **changes: Any) -> None:
        """A correct push, except for *changes*."""
        frame = {
            "type": "push",
            "sequence": sequence,
            "previous": self._last,
            "change": "created",
            "attempt": 1,
            "replay": False,
            "unread": 1,
            "unseen": 1,
        } | {key: value for key, value in changes.items() if key not in ("id", "expires_at")}
        frame["notification"] = {
            "id": changes.get("id", f"n{sequence}"),
            "title": "",
            "state": "unseen",
            "revision": 1,
            "expires_at": changes.get("expires_at"),
        }
        self._last = max(self._last, sequence)
        self.hear(frame, sent_at=sent_at)

    def ack(self, sequence: int) -> None:
        self._acknowledge({"type": "ack", "sequence": sequence})

    def ack_ids(self, *ids: str) -> None:
        self._acknowledge({"type": "ack", "ids": list(ids)})

    def _acknowledge(self, ack: Frame) -> None:
        self.stage.history.acknowledged(self.story, ack)
        self.stage.history.ack_arrived(self.story, ack)

    def goodbye(self, reason: str) -> None:
        frame = {"type": "goodbye", "reason": reason, "code": 4000, "after": 1.0}
        self.story.goodbye = frame
        self.hear(frame)

    def end(self) -> None:
        self.story.ended_at = self.stage.now
        self.stage.history.ended(self.story)


def a_host() -> Any:
    """A host in its first process, with nothing else known."""
    process = SimpleNamespace(is_stopped=False)
    node = SimpleNamespace(is_stopping=False, services=None, process=process)
    clocks = {"clock_least": 0, "clock_most": 0}
    return SimpleNamespace(name="a", node=node, process_number=1, **clocks)


def a_post(title: str, *users: str, key: str | None = None, **facts: Any) -> RequestStory:
    """A post of p0 to *users* through node a, not asked yet."""
    host = facts.pop("host", "a")
    body = {"to": {"users": list(users)}, "title": title, **facts}
    return RequestStory("p0", host, "publish", {}, body, key, 1, 0.0)
