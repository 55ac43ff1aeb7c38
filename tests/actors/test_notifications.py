"""The live notifications: what is left of requests that were answered, or never will be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Never

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tocsin.actors.publishing.notifications import (
    Notifications,
    Submit,
)
from tocsin.actors.runtime.errors import ActorCrashed, ActorStopped, MailboxFull
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref, Reply
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.spool.entries import Committal, Spoolable
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import Idempotency, NotFound, Publish, Withdraw
from tocsin.protocol.notification import Content
from tocsin.protocol.refusal import Refused

CONTENT = Content(
    id="n1", revision=1, category="default", topic=None, created_at=1, updated_at=1,
    expires_at=None, document="{}",
)  # fmt: skip
PUBLISH = Publish(CONTENT, ("ada",), "shop", Idempotency("shop", "key", b"x"))


keepers: dict[str, Ref[Never]] = {}
"""The keeper of the directory that is running."""


class Store:
    """A store that answers when the test says so; `replies` are those it owes, in order."""

    def __init__(self) -> None:
        self.replies: list[Reply[Committal]] = []

    def __call__(self, command: Spoolable, reply: Reply[Committal]) -> None:
        self.replies.append(reply)


class Fragile(Reply[Committal]):
    """An asker to whom no answer can be given; *failure* is what it is told instead."""

    __slots__ = ("failure",)

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None

    def set(self, value: Committal) -> None:
        raise RuntimeError("a bug")

    def fail(self, error: Exception) -> None:
        self.failure = error


@asynccontextmanager
async def running(
    commit: Callable[[Spoolable, Reply[Committal]], None] | None = None,
) -> AsyncIterator[Notifications]:
    """Over a store that answers by *commit*, or not at all; nothing is stopped in order."""
    notifications = Notifications(
        storage=Ref("storage", Mailbox(1)),
        scheduler=Ref("scheduler", Mailbox(1)),
        commit=commit or Store(),
    )
    with trio.CancelScope() as crash:
        async with open_supervisor("", lambda: 0.0) as tree:
            keepers["notifications"] = tree.spawn("notifications", notifications.keeper)
            await settle()
            yield notifications
            crash.cancel()


async def test_when_the_keeper_has_failed_keys_are_free_and_nobody_is_waited_for(autojump_clock):
    async with running() as notifications:
        submit = Submit(command=PUBLISH)
        notifications.submit("n1", submit)
        notifications.expect("n1", 1)
        keepers["notifications"].tell("anything")  # type: ignore[arg-type]
        with pytest.raises(ActorStopped):
            await submit.reply.wait()
        assert "n1" not in notifications.snapshot().outstanding

        await pass_time(1)
        notifications.submit("n1", Submit(command=PUBLISH))
        assert notifications.names() == ["n1"]


async def test_a_key_is_in_flight_until_its_request_is_answered(autojump_clock):
    async with running() as notifications:
        notifications.submit("n1", Submit(command=PUBLISH))
        with pytest.raises(Refused, match="has not been answered yet"):
            notifications.submit("n1", Submit(command=PUBLISH))


async def test_a_snapshot_has_the_keys_in_flight_and_the_acknowledgments_to_come(autojump_clock):
    async with running() as notifications:
        notifications.submit("n1", Submit(command=PUBLISH))
        notifications.expect("n1", 2)
        snapshot = notifications.snapshot()
        assert snapshot.asked == ("n1",)
        assert [key for _, key in snapshot.keys] == ["key"]
        assert snapshot.outstanding == {"n1": 2}

        notifications.answered(Submit(command=PUBLISH))
        notifications.acknowledged("n1")
        assert notifications.snapshot().keys == ()
        assert notifications.snapshot().outstanding == {"n1": 1}
        assert snapshot.outstanding == {"n1": 2}


async def test_a_key_is_free_again_when_answering_its_request_has_failed(autojump_clock):
    store = Store()
    async with running(store) as notifications:
        asker, other = Fragile(), Submit(command=Withdraw("n1", 1))
        notifications.submit("n1", Submit(command=PUBLISH, reply=asker))
        notifications.submit("n1", other)
        for reply in store.replies:
            reply.set(NotFound())

        assert isinstance(asker.failure, ActorCrashed)
        assert await other.reply.wait() == NotFound()
        assert notifications.snapshot() == ((), (), {})
        notifications.submit("n1", Submit(command=PUBLISH))


async def test_a_key_is_free_again_when_the_store_has_no_room_for_its_request(autojump_clock):
    def refuse(command: Spoolable, reply: Reply[Committal]) -> None:
        raise MailboxFull

    async with running(refuse) as notifications:
        submit = Submit(command=PUBLISH)
        notifications.submit("n1", submit)
        with pytest.raises(MailboxFull):
            await submit.reply.wait()

        assert notifications.snapshot().keys == ()


async def test_requests_reach_the_store_in_their_order_and_are_answered_as_it_answers(
    autojump_clock,
):
    store = Store()
    async with running(store) as notifications:
        first, second = Submit(command=PUBLISH), Submit(command=Withdraw("n1", 1))
        notifications.submit("n1", first)
        notifications.submit("n1", second)
        store.replies[1].set(NotFound())
        store.replies[0].fail(StoreUnavailable())

        assert await second.reply.wait() == NotFound()
        with pytest.raises(StoreUnavailable):
            await first.reply.wait()


async def test_an_answer_that_comes_after_the_keeper_has_ended_changes_nothing(autojump_clock):
    store = Store()
    async with running(store) as notifications:
        notifications.submit("n1", Submit(command=PUBLISH))
        keepers["notifications"].tell("anything")  # type: ignore[arg-type]
        await pass_time(1)
        notifications.submit("n1", Submit(command=PUBLISH))
        store.replies[0].set(NotFound())

        assert notifications.snapshot().keys == (("shop", "key"),)


async def test_without_a_keeper_no_request_is_taken():
    notifications = Notifications(Ref("storage", Mailbox(1)), Ref("scheduler", Mailbox(1)))
    with pytest.raises(ActorStopped):
        notifications.submit("n1", Submit(command=PUBLISH))
    assert notifications.snapshot() == ((), (), {})


async def test_acknowledgments_are_expected_only_where_the_notification_was_asked_for(
    autojump_clock,
):
    async with running() as notifications:
        notifications.expect("n1", 1)
        assert "n1" not in notifications.snapshot().outstanding
