"""The live notifications: what is left of one whose actor has failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Never

import outcome
import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.publishing.awaited import PATIENCE
from tocsin.actors.publishing.notifications import (
    MAILBOX_CAPACITY,
    Committed,
    NotificationActor,
    NotificationMessage,
    Notifications,
    Submit,
)
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.prompt import PER_TURN_MAX
from tocsin.actors.runtime.ref import Ref, Reply
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.spool.entries import Committal, Spoolable
from tocsin.persistence.store.commands import Idempotency, NotFound, Publish, Withdraw
from tocsin.protocol.notifications.notification import Content
from tocsin.protocol.refusal import Refused

CONTENT = Content(
    id="n1", revision=1, category="default", topic=None, created_at=1, updated_at=1,
    expires_at=None, document="{}",
)  # fmt: skip
PUBLISH = Publish(CONTENT, ("ada",), "shop", Idempotency("shop", "key", b"x"))


keepers: dict[str, Ref[Never]] = {}
"""The keeper of the directory that is running."""


def never(command: Spoolable, reply: Reply[Committal]) -> None:
    """A store that does not answer."""


@asynccontextmanager
async def running(
    commit: Callable[[Spoolable, Reply[Committal]], None] = never,
) -> AsyncIterator[Notifications]:
    """Over a store that answers by *commit*, or not at all; nothing is stopped in order."""
    notifications = Notifications(
        storage=Ref("storage", Mailbox(1)),
        scheduler=Ref("scheduler", Mailbox(1)),
        commit=commit,
    )
    with trio.CancelScope() as crash:
        async with open_supervisor("", lambda: 0.0) as tree:
            keepers["notifications"] = tree.spawn(
                "notifications", lambda: DirectoryKeeper(notifications, lambda: 0.0, grace=1.0)
            )
            await settle()
            yield notifications
            crash.cancel()


def fail(notifications: Notifications) -> None:
    """Have the actor fail at its next message: an answer to what nobody asked."""
    stranger = Submit(command=Withdraw("n1", 1))
    ref = notifications.find("n1")
    assert ref is not None
    ref.tell(Committed(stranger, outcome.Value(NotFound())))


async def test_when_the_keeper_has_failed_keys_are_free_and_nobody_is_waited_for(autojump_clock):
    async with running() as notifications:
        submit = Submit(command=PUBLISH)
        notifications.submit("n1", submit)
        notifications.expect("n1", 1)
        keepers["notifications"].tell("anything")  # type: ignore[arg-type]
        with pytest.raises(ActorStopped):
            await submit.reply.wait()
        assert not notifications.is_expected("n1")

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
        assert [key for _, key in snapshot.keys] == ["key"]
        assert snapshot.outstanding == {"n1": 2}

        notifications.answered(Submit(command=PUBLISH))
        notifications.acknowledged("n1")
        assert notifications.snapshot().keys == ()
        assert notifications.snapshot().outstanding == {"n1": 1}
        assert snapshot.outstanding == {"n1": 2}


async def test_a_key_is_free_again_when_the_actor_has_failed_that_should_have_answered(
    autojump_clock,
):
    async with running() as notifications:
        notifications.submit("n1", Submit(command=Withdraw("n1", 1)))
        notifications.submit("n1", Submit(command=PUBLISH))
        fail(notifications)

        notifications.submit("n1", Submit(command=PUBLISH))


async def test_a_key_is_free_again_when_the_actor_has_failed_as_it_received_the_request(
    autojump_clock, monkeypatch
):
    def receive(self: NotificationActor, message: NotificationMessage) -> None:
        raise RuntimeError("a bug")

    async with running() as notifications:
        with monkeypatch.context() as patched:
            patched.setattr(NotificationActor, "receive", receive)
            notifications.submit("n1", Submit(command=PUBLISH))
        await settle()

        assert notifications.snapshot().keys == ()


async def test_a_key_is_free_again_when_the_actor_has_no_room_for_its_request(autojump_clock):
    async with running() as notifications:
        for _ in range(PER_TURN_MAX + MAILBOX_CAPACITY):
            notifications.submit("n1", Submit(command=Withdraw("n1", 1)))
        with pytest.raises(MailboxFull):
            notifications.submit("n1", Submit(command=PUBLISH))

        assert notifications.snapshot().keys == ()


async def test_no_device_is_waited_for_when_the_actor_that_waited_has_failed(autojump_clock):
    async with running() as notifications:
        notifications.submit("n1", Submit(command=PUBLISH))
        notifications.expect("n1", 1)
        fail(notifications)
        await settle()

        assert not notifications.is_expected("n1")


async def test_an_actor_waits_for_acknowledgments_a_minute_and_no_longer(autojump_clock):
    replies: list[Reply[Committal]] = []

    def commit(command: Spoolable, reply: Reply[Committal]) -> None:
        replies.append(reply)

    async with running(commit) as notifications:
        for name in ("n1", "n2"):
            notifications.submit(name, Submit(command=Withdraw(name, 1)))
            notifications.expect(name, 1)
        replies[0].set(NotFound())
        await pass_time(PATIENCE - 1)
        assert notifications.names() == ["n1", "n2"]

        await pass_time(1 + notifications.look_interval)
        assert notifications.names() == ["n2"], "its request has not been answered"
        replies[1].set(NotFound())
        assert notifications.names() == []


async def test_the_last_acknowledgment_ends_the_actor_even_behind_a_full_turn(autojump_clock):
    async with running(lambda command, reply: reply.set(NotFound())) as notifications:
        for number in range(PER_TURN_MAX // 2 + 10):
            name = f"n{number}"
            notifications.submit(name, Submit(command=Withdraw(name, 1)))
        assert len(notifications) > 0, "the turn's budget is used up"
        for name in notifications.names():
            notifications.expect(name, 1)
            notifications.acknowledged(name)
        await settle()
        assert notifications.names() == []
