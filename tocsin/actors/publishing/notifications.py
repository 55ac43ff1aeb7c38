"""The live notifications: one actor for each that waits for a commit or for acknowledgments.

Every request about a notification passes through its actor, so a publish, its updates and its
withdrawal reach the log in the order in which they were asked for. The actor has the command
committed and answers the request. Then it waits until a device of every user who was told
(`announcer`) has acknowledged, but a minute at most (`awaited`): after that, resending is the
business of the log and the sessions alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
import outcome
import trio

from tocsin.actors.delivery.timing import Timing, Via
from tocsin.actors.directory import Directory
from tocsin.actors.publishing.awaited import Awaited
from tocsin.actors.publishing.scheduler import (
    ExpiryKnown,
    SchedulerMessage,
    tell_scheduler,
    tell_times,
)
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.actors.runtime.prompt import PromptActor
from tocsin.actors.runtime.ref import Ref, Reply, Request
from tocsin.actors.spool.entries import Committal, Spoolable
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.persistence.store.commands import Changed, Publish, Update, Withdraw
from tocsin.protocol.refusal import refuse

MAILBOX_CAPACITY: Final = 64
"""Messages: the changes of one notification, which come one at a time from one producer."""
_LIVE_MAX: Final = 20_000
"""Notifications that wait for acknowledgments; beyond it their actors end after the commit."""


class Submit(Request[Committal]):
    """Commit *command* and tell the recipients; answered when it is durable, in store or spool."""

    command: Publish | Update | Withdraw
    via: Via = "http"


class Committed(msgspec.Struct, frozen=True):
    """The store has answered *submit*."""

    submit: Submit
    outcome: outcome.Outcome[Committal]


class NoneAwaited(msgspec.Struct, frozen=True):
    """All users who were told have acknowledged, or it has taken them too long."""


NotificationMessage = Submit | Committed | NoneAwaited
_NONE_AWAITED: Final = NoneAwaited()


class NotificationActor(PromptActor[NotificationMessage]):
    """One live notification; see the module."""

    __slots__ = ("_asked", "_directory", "_id")

    def __init__(self, notification: str, directory: Notifications) -> None:
        self._id = notification
        self._directory = directory
        self._asked: list[Submit] = []

    def ended(self, *, failed: bool) -> None:
        """Fail the requests that still wait for an answer."""
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
                self._asked.append(message)
            case Committed(submit=submit, outcome=result):
                self._asked.remove(submit)
                self._directory.answered(submit)
                self._committed(submit, result)
            case NoneAwaited():
                self._rest()

    def _rest(self) -> None:
        if not self._asked:
            self._directory.retire(self._id)

    def _committed(self, submit: Submit, result: outcome.Outcome[Committal]) -> None:
        if isinstance(result, outcome.Value):
            submit.reply.set(result.value)
            self._directory.timing.answered(self._id, result.value, submit.via)
            if isinstance(result.value, Changed):
                self._directory.time_known(result.value, submit.command)
        elif isinstance(result, outcome.Error):
            assert isinstance(result.error, Exception)
            submit.reply.fail(result.error)
        if not self._directory.is_expected(self._id):
            self._rest()


class NotificationsSnapshot(NamedTuple):
    """The tables that `Notifications` keeps beside the actors, for tests and the simulation.

    *keys* are the idempotency keys in flight, each with its credential; *outstanding* is the number
    of acknowledgments still to come for each notification's id.
    """

    keys: tuple[tuple[str, str], ...]
    outstanding: dict[str, int]


class Notifications(Directory[NotificationMessage]):
    """The directory of live notifications, and the idempotency keys that are in flight.

    *commit* takes a command and the reply for its outcome; without it, the store is asked.
    """

    look_interval: ClassVar[float] = 1.0

    def __init__(
        self,
        storage: Ref[StorageMessage],
        scheduler: Ref[SchedulerMessage],
        commit: Callable[[Spoolable, Reply[Committal]], None] | None = None,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(capacity=MAILBOX_CAPACITY)
        self._storage = storage
        self._scheduler = scheduler
        self._commit = commit or self._ask_store
        self.timing = timing or Timing()
        self._awaited = Awaited()
        self._keys: dict[tuple[str, str], str] = {}
        """(Credential, key) in flight -> the notification that the request publishes."""

    def snapshot(self) -> NotificationsSnapshot:
        """A copy of the tables beside the actors."""
        return NotificationsSnapshot(tuple(self._keys), self._awaited.counts())

    def submit(self, notification: str, submit: Submit) -> None:
        """Have *submit* committed, and hand it to its notification's actor.

        The store is asked here and not by the actor: actors that were just started run in no
        particular order, and the requests of one producer must keep theirs. Raises `Refused` if its
        idempotency key is in flight, `MailboxFull` or `ActorStopped`; if the store has no room, the
        reply fails.
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
        if key is not None:
            # Before the actor receives the request, which it does in this turn: if it fails, it
            # takes the key out again, as the answer does.
            self._keys[key] = notification
        if not _is_scheduled(submit.command):
            self.timing.departed(notification)
        try:
            ref.tell(submit)
        except (MailboxFull, ActorStopped):
            self.answered(submit)
            raise
        try:
            self._commit(submit.command, reply)
        except (MailboxFull, ActorStopped) as error:
            reply.fail(error)

    def answered(self, submit: Submit) -> None:
        """Free the idempotency key of *submit*: from now on the store answers for it."""
        key = _key(submit)
        if key is not None:
            self._keys.pop(key, None)

    def ended(self, notification: str) -> None:
        """Expect no more acknowledgments of *notification*, whose actor has ended."""
        self._awaited.forget(notification)

    def failed(self, notification: str) -> None:
        """Free the keys of *notification*, whose actor has failed: its producers may ask again."""
        # All of its keys, for the actor may have failed before it received the request.
        self._keys = {key: its for key, its in self._keys.items() if its != notification}

    def expect(self, notification: str, count: int) -> None:
        """Expect *count* acknowledgments of *notification*, if it is live here.

        While too many notifications are live, no actor waits for acknowledgments.
        """
        if self.find(notification) is not None and len(self) <= _LIVE_MAX:
            self._awaited.expect(notification, count, trio.current_time())

    def is_expected(self, notification: str) -> bool:
        """Whether there is an acknowledgment to wait for."""
        return notification in self._awaited

    def acknowledged(self, notification: str) -> None:
        """Count an acknowledgment of *notification*; the last that is expected ends its actor."""
        if self._awaited.acknowledged(notification):
            self._tell_none_awaited(notification)

    def look(self, now: float) -> None:
        """Have the actors end that have waited too long for acknowledgments."""
        for notification in self._awaited.give_up(now):
            self._tell_none_awaited(notification)

    def time_known(self, changed: Changed, command: Spoolable) -> None:
        """Tell the scheduler when a notification falls due: its delivery, or its expiry."""
        tell_times(self._scheduler, changed, command)

    def will_expire(self, at: int) -> None:
        """Tell the scheduler that a notification expires *at* this time (Unix ms)."""
        tell_scheduler(self._scheduler, ExpiryKnown(at))

    def retire(self, notification: str) -> None:
        """Let the actor of *notification* end, which waits for nothing more."""
        self._awaited.forget(notification)
        self._retire(notification)

    def _tell_none_awaited(self, notification: str) -> None:
        ref = self.find(notification)
        if ref is not None:
            with suppress(ActorStopped):
                # Beyond the capacity, since no deadline of its own would end the actor.
                ref.tell_beyond(_NONE_AWAITED)

    def _ask_store(self, command: Spoolable, reply: Reply[Any]) -> None:
        self._storage.tell(Write(command=command, reply=reply))


def _is_scheduled(command: Spoolable) -> bool:
    return isinstance(command, Publish) and command.deliver_at is not None


def _key(submit: Submit) -> tuple[str, str] | None:
    command = submit.command
    if isinstance(command, Publish) and command.idempotency is not None:
        return command.idempotency.credential, command.idempotency.key
    return None
