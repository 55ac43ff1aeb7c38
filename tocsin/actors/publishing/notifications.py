"""The live notifications: requests that wait for their commit, and acknowledgments to come.

Every request about a notification passes through here, so a publish, its updates and its withdrawal
reach the log in the order in which they were asked for. The table has the command committed and
answers the request. Then it counts the acknowledgments of the users who were told (`announcer`),
for a minute at most. Resending is the business of the log and the sessions alone.

There is no actor for each notification. It would be born for one request, be told of one outcome,
and end: that cost as much as a push. What such an actor promises holds all the same:

- *Isolation*: an error in answering one request is logged and told to its asker (`ActorCrashed`),
  and never raised into the storage actor, in whose turn the answer is given.
- *Supervision*: the table takes requests only while its keeper runs. When that ends, however it
  ends, the askers are told (`ActorStopped`), and the keys in flight are free again.
- *Order*: the store and the spool are asked in the turn of the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Never

import outcome
import structlog
import trio

from tocsin.actors.delivery.timing import Timing
from tocsin.actors.publishing.awaited import Awaited
from tocsin.actors.publishing.scheduler import (
    ExpiryKnown,
    SchedulerMessage,
    tell_scheduler,
    tell_times,
)
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.actors.runtime.ref import PipedReply, Ref, Reply, Request, abandoned, crashed
from tocsin.actors.runtime.supervisor import Actor, Context
from tocsin.actors.spool.entries import Committal, Spoolable
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.persistence.store.commands import Changed, Publish, Update, Withdraw
from tocsin.protocol.refusal import refuse

logger = structlog.get_logger(__name__)


class Submit(Request[Committal]):
    """Commit *command* and tell the recipients; answered when it is durable, in store or spool."""

    command: Publish | Update | Withdraw


class NotificationsSnapshot(NamedTuple):
    """What `Notifications` holds, for tests and the simulation.

    *asked* are the ids of notifications with requests under way; *keys* are the idempotency keys in
    flight, each with its credential; *outstanding* is the number of acknowledgments still to come
    for each notification's id.
    """

    asked: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    outstanding: dict[str, int]


class Notifications:
    """The live notifications, and the idempotency keys that are in flight; see the module.

    *commit* takes a command and the reply for its outcome; without it, the store is asked.
    """

    def __init__(
        self,
        storage: Ref[StorageMessage],
        scheduler: Ref[SchedulerMessage],
        commit: Callable[[Spoolable, Reply[Committal]], None] | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._storage = storage
        self._scheduler = scheduler
        self._commit = commit or self._ask_store
        self._timing = timing or Timing()
        self._is_kept = False
        self._asked: dict[str, list[Submit]] = {}
        """Notification -> the requests about it that wait for their commit."""
        self._awaited = Awaited()
        self._keys: set[tuple[str, str]] = set()
        """(Credential, key) of each request that waits and has one."""

    def keeper(self) -> NotificationsKeeper:
        """A new incarnation of the actor that answers for this table."""
        return NotificationsKeeper(self)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Take requests until the end of the block, and then fail those that wait.

        Only the keeper calls it.
        """
        self._is_kept = True
        try:
            yield
        finally:
            self._is_kept = False
            self._abandon()

    def snapshot(self) -> NotificationsSnapshot:
        """A copy of what is held here."""
        self._awaited.give_up(trio.current_time())
        return NotificationsSnapshot(tuple(self._asked), tuple(self._keys), self._awaited.counts())

    def names(self) -> list[str]:
        """The ids of all live notifications."""
        asked, _, outstanding = self.snapshot()
        return list(dict.fromkeys((*asked, *outstanding)))

    def __len__(self) -> int:
        return len(self.names())

    def submit(self, notification: str, submit: Submit) -> None:
        """Have *submit* committed, which is about *notification*.

        Raises `Refused` if its idempotency key is in flight, `ActorStopped` while there is no
        keeper; if the store has no room, the reply fails.
        """
        key = _key(submit)
        if key is not None and key in self._keys:
            raise refuse(
                "idempotency_in_flight",
                "A request with this Idempotency-Key has not been answered yet.",
                retry_after=1.0,
            )
        if not self._is_kept:
            raise ActorStopped
        if key is not None:
            self._keys.add(key)
        if not _is_scheduled(submit.command):
            self._timing.departed(notification)
        self._asked.setdefault(notification, []).append(submit)
        reply: Reply[Committal] = PipedReply(partial(self._committed, notification, submit))
        try:
            self._commit(submit.command, reply)
        except (MailboxFull, ActorStopped) as error:
            reply.fail(error)

    def answered(self, submit: Submit) -> None:
        """Free the idempotency key of *submit*: from now on the store answers for it."""
        key = _key(submit)
        if key is not None:
            self._keys.discard(key)

    def expect(self, notification: str, count: int) -> None:
        """Expect *count* acknowledgments of *notification*, if it was asked for here."""
        if notification in self._asked:
            self._awaited.expect(notification, count, trio.current_time())

    def acknowledged(self, notification: str) -> None:
        """Count an acknowledgment of *notification*."""
        self._awaited.acknowledged(notification)

    def time_known(self, changed: Changed, command: Spoolable) -> None:
        """Tell the scheduler when a notification falls due: its delivery, or its expiry."""
        tell_times(self._scheduler, changed, command)

    def will_expire(self, at: int) -> None:
        """Tell the scheduler that a notification expires *at* this time (Unix ms)."""
        tell_scheduler(self._scheduler, ExpiryKnown(at))

    def _ask_store(self, command: Spoolable, reply: Reply[Any]) -> None:
        self._storage.tell(Write(command=command, reply=reply))

    def _committed(
        self, notification: str, submit: Submit, result: outcome.Outcome[Committal]
    ) -> None:
        """The outcome of *submit* is known; must not raise, see the module."""
        asked = self._asked.get(notification, ())
        if submit not in asked:
            return  # its asker was told when the keeper ended
        if len(asked) == 1:
            del self._asked[notification]
        else:
            self._asked[notification].remove(submit)
        self.answered(submit)
        try:
            self._answer(notification, submit, result)
        except Exception as error:
            logger.exception("answer failed", notification=notification)
            crashed(submit, error)

    def _answer(
        self, notification: str, submit: Submit, result: outcome.Outcome[Committal]
    ) -> None:
        if isinstance(result, outcome.Value):
            submit.reply.set(result.value)
            self._timing.answered(notification)
            if isinstance(result.value, Changed):
                self.time_known(result.value, submit.command)
        elif isinstance(result, outcome.Error):
            assert isinstance(result.error, Exception)
            submit.reply.fail(result.error)

    def _abandon(self) -> None:
        asked = [submit for several in self._asked.values() for submit in several]
        self._asked.clear()
        self._keys.clear()
        self._awaited.clear()
        for submit in asked:
            abandoned(submit)


class NotificationsKeeper(Actor[Never]):
    """Answers for *notifications* while it runs: without it, no request is taken."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    async def run(self, context: Context[Never]) -> None:
        """Have requests taken until told to stop; those that wait then fail."""
        with self._notifications.kept():
            await super().run(context)


def _is_scheduled(command: Spoolable) -> bool:
    return isinstance(command, Publish) and command.deliver_at is not None


def _key(submit: Submit) -> tuple[str, str] | None:
    command = submit.command
    if isinstance(command, Publish) and command.idempotency is not None:
        return command.idempotency.credential, command.idempotency.key
    return None
