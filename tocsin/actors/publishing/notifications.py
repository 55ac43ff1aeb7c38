"""The live notifications: one actor for each that has something to wait for.

All that is done to one notification passes through its actor, so a publish, its updates and its
withdrawal reach the log in the order in which they were asked for. The actor has it committed,
answers, and stays until somebody of every user who was told (`announcer`) has acknowledged, or for
`_PATIENCE` seconds: after that only the log and the sessions wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import outcome
import trio

from tocsin.actors.directory import Directory
from tocsin.actors.publishing.scheduler import (
    ExpiryKnown,
    SchedulerMessage,
    tell_scheduler,
    tell_times,
)
from tocsin.actors.runtime import (
    ActorStopped,
    MailboxFull,
    PromptActor,
    Ref,
    Reply,
    Request,
)
from tocsin.actors.spool.entries import Committal, Spoolable
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.persistence.store import Changed, Publish, Update, Withdraw
from tocsin.protocol.refusal import refuse

_PATIENCE: Final = 60.0
"""Seconds for which an actor waits for acknowledgments: most come in the first moments, and every
actor costs memory."""
_MAILBOX_CAPACITY: Final = 64
"""Messages: the changes of one notification, which come one at a time from one producer."""
_LIVE_MAX: Final = 20_000
"""Notifications kept waiting for acknowledgments; beyond it they are let go once committed."""


class Submit(Request[Committal]):
    """Commit *command* and tell the recipients; answered when it is durable, if in the spool."""

    command: Publish | Update | Withdraw


class Committed(msgspec.Struct, frozen=True):
    """The store has answered *submit*."""

    submit: Submit
    outcome: outcome.Outcome[Committal]


class AllAcknowledged(msgspec.Struct, frozen=True):
    """Everybody who was told has acknowledged."""


NotificationMessage = Submit | Committed | AllAcknowledged


class NotificationActor(PromptActor[NotificationMessage]):
    """One live notification; see the module."""

    __slots__ = ("_asked", "_deadline", "_directory", "_id")

    def __init__(self, notification: str, directory: Notifications) -> None:
        self._id = notification
        self._directory = directory
        self._asked: list[Submit] = []
        self._deadline = math.inf

    def ended(self, *, failed: bool) -> None:
        """Requests that still wait for an answer are told that none will come."""
        self._directory.ended(self._id)
        if failed:
            self._directory.failed(self._id)
        for submit in self._asked:
            self._directory.answered(submit)
            submit.reply.fail(ActorStopped(self._id))

    def receive(self, message: NotificationMessage) -> None:
        """Handle one message."""
        match message:
            case Submit():
                self._deadline = math.inf
                self._asked.append(message)
            case Committed(submit=submit, outcome=result):
                self._asked.remove(submit)
                self._directory.answered(submit)
                self._committed(submit, result)
            case AllAcknowledged():
                self._rest()

    def next_deadline(self) -> float:
        """When there is no point in waiting any longer."""
        return self._deadline

    def on_deadline(self, now: float) -> None:
        """Whoever has not acknowledged by now is the log's business."""
        self._rest()

    def _rest(self) -> None:
        if not self._asked:
            self._directory.retire(self._id)

    def _committed(self, submit: Submit, result: outcome.Outcome[Committal]) -> None:
        if isinstance(result, outcome.Value):
            submit.reply.set(result.value)
            if isinstance(result.value, Changed):
                self._directory.time_known(result.value, submit.command)
        elif isinstance(result, outcome.Error):
            assert isinstance(result.error, Exception)
            submit.reply.fail(result.error)
        if self._asked:
            return
        if self._directory.is_expected(self._id):
            self._deadline = trio.current_time() + _PATIENCE
        else:
            self._directory.retire(self._id)


class NotificationsSnapshot(NamedTuple):
    """What `Notifications` keeps beside the actors.

    *keys*: the idempotency keys in flight, each with its credential. *outstanding*: by notification
    id, how many acknowledgments are still to come.
    """

    keys: tuple[tuple[str, str], ...]
    outstanding: dict[str, int]


class Notifications(Directory[NotificationMessage]):
    """The directory of live notifications, and the idempotency keys that are in flight.

    *commit* has a command done and a reply told how; without one, the store is asked.
    """

    def __init__(
        self,
        storage: Ref[StorageMessage],
        scheduler: Ref[SchedulerMessage],
        commit: Callable[[Spoolable, Reply[Committal]], None] | None = None,
    ) -> None:
        super().__init__(capacity=_MAILBOX_CAPACITY)
        self._storage = storage
        self._scheduler = scheduler
        self._commit = commit or self._ask_store
        self._outstanding: dict[str, int] = {}
        self._keys: dict[tuple[str, str], str] = {}
        """The keys in flight, each with the notification that it is to become."""

    def snapshot(self) -> NotificationsSnapshot:
        """What is kept beside the actors, as a copy."""
        return NotificationsSnapshot(tuple(self._keys), dict(self._outstanding))

    def submit(self, notification: str, submit: Submit) -> None:
        """Have *submit* committed, and its notification's actor carry on from there.

        The store is told here and not by the actor: actors that were just started run in no
        particular order, and what a producer sends one after the other must stay in that order.
        Raises `Refused` if its idempotency key is in flight, `MailboxFull` or `ActorStopped`;
        a store that has no room fails the reply.
        """
        key = _key(submit)
        if key is not None and key in self._keys:
            raise refuse(
                "idempotency_in_flight",
                "A request with this Idempotency-Key has not been answered yet.",
                retry_after=1.0,
            )
        ref = self.find(notification)
        if ref is None:
            ref = self._spawn_prompt(notification, partial(NotificationActor, notification, self))
        reply: Reply[Committal] = ref.piped(partial(Committed, submit))
        ref.tell(submit)
        if key is not None:
            # Before anybody could have answered.
            self._keys[key] = notification
        try:
            self._commit(submit.command, reply)
        except (MailboxFull, ActorStopped) as error:
            reply.fail(error)

    def answered(self, submit: Submit) -> None:
        """The request's idempotency key is free again: from now on the store answers for it."""
        key = _key(submit)
        if key is not None:
            self._keys.pop(key, None)

    def ended(self, notification: str) -> None:
        """Its actor has ended: no acknowledgment is waited for any more."""
        self._outstanding.pop(notification, None)

    def failed(self, notification: str) -> None:
        """Its actor has failed: its producers may ask again, with their keys."""
        # Also those of which it had not heard yet.
        self._keys = {key: its for key, its in self._keys.items() if its != notification}

    def expect(self, notification: str, count: int) -> None:
        """Somebody was told: *count* acknowledgments are to be expected, if it is live here.

        Nobody waits for them while too many are live already.
        """
        if self.find(notification) is not None and len(self) <= _LIVE_MAX:
            self._outstanding[notification] = self._outstanding.get(notification, 0) + count

    def is_expected(self, notification: str) -> bool:
        """Whether there is an acknowledgment to wait for."""
        return notification in self._outstanding

    def acknowledged(self, notification: str) -> None:
        """Somebody who was told has acknowledged.

        Counted here and not by the actor, so that a fan-out to a thousand wakes it once.
        """
        left = self._outstanding.get(notification)
        if left is None:
            return
        if left > 1:
            self._outstanding[notification] = left - 1
            return
        del self._outstanding[notification]
        ref = self.find(notification)
        if ref is None:
            return
        try:
            ref.tell(AllAcknowledged())
        except (MailboxFull, ActorStopped):
            # Its deadline will do where there is no room for the news.
            return

    def time_known(self, changed: Changed, command: Spoolable) -> None:
        """Tell the scheduler when something will have to be done about a notification."""
        tell_times(self._scheduler, changed, command)

    def will_expire(self, at: int) -> None:
        """Tell the scheduler that a notification expires *at* this time (Unix ms)."""
        tell_scheduler(self._scheduler, ExpiryKnown(at))

    def retire(self, notification: str) -> None:
        """Let an actor that waits for nothing end."""
        self._outstanding.pop(notification, None)
        self._retire(notification)

    def _ask_store(self, command: Spoolable, reply: Reply[Any]) -> None:
        self._storage.tell(Write(command=command, reply=reply))


def _key(submit: Submit) -> tuple[str, str] | None:
    command = submit.command
    if isinstance(command, Publish) and command.idempotency is not None:
        return command.idempotency.credential, command.idempotency.key
    return None
