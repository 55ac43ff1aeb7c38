"""Writes that were sent ahead in a line: none is done before one that has to be sent again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.actors.clock_kit import pass_time
from tests.actors.store_kit import Crowd, FakeStore
from tests.persistence.desk_kit import publish
from tocsin.actors.runtime.errors import ActorCrashed
from tocsin.actors.storage.lines import Line
from tocsin.actors.storage.requests import Write
from tocsin.persistence.store import StoreBlocked, StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import Done, Publish, Withdraw
from tocsin.persistence.store.key_commands import RevokeKey


def by(credential: str, *users: str) -> Publish:
    return replace(publish(*users), credential=credential)


# --- What a refused write keeps back --------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreUnavailable(), ActorCrashed()])
def test_a_write_that_was_lost_keeps_back_all_behind_it(error: Exception):
    line = Line("spool")
    assert line.admits(by("shop", "ada"))
    line.reply(by("shop", "ada")).fail(error)
    assert not line.admits(by("shop", "ada"))
    assert not line.admits(by("bank", "bob"))
    assert Line("spool").admits(by("shop", "ada"))


def test_a_write_that_is_poison_keeps_back_nothing():
    line = Line("spool")
    line.reply(by("shop", "ada")).fail(StoreFailed())
    assert line.admits(by("shop", "ada"))


def test_a_blocked_post_keeps_back_what_its_producer_sends_to_the_same_users():
    line = Line("spool")
    line.reply(by("shop", "ada", "bob")).fail(StoreBlocked())
    assert not line.admits(by("shop", "eve", "bob"))
    assert not line.admits(by("shop"))  # a topic, of which any of them may be
    assert line.admits(by("shop", "eve"))
    assert line.admits(by("bank", "ada"))
    assert line.admits(by("bank"))


def test_a_blocked_post_to_a_topic_keeps_back_all_that_its_producer_sends():
    line = Line("spool")
    line.reply(by("shop")).fail(StoreBlocked())
    assert not line.admits(by("shop", "ada"))
    assert line.admits(by("bank", "ada"))


def test_a_blocked_post_or_change_keeps_back_the_changes_of_its_notification():
    line = Line("spool")
    blocked, other = by("shop", "ada"), by("shop", "ada")
    line.reply(blocked).fail(StoreBlocked())
    assert not line.admits(Withdraw(blocked.content.id, 0))
    assert line.admits(Withdraw(other.content.id, 0))
    line.reply(Withdraw(other.content.id, 0)).fail(StoreBlocked())
    assert not line.admits(Withdraw(other.content.id, 0))


# --- The storage actor ----------------------------------------------------------------------------


class Ahead(Crowd):
    """Sends writes of a line ahead, and others."""

    def __init__(self, nursery: Any, stage: Any) -> None:
        super().__init__(nursery, stage)
        self.line = Line("spool")

    async def sends(self, *names: str, users: str = "{}") -> None:
        for name in names:
            command = replace(by("shop", users.format(name)))
            reply = self.line.reply(command)
            await self._start(name, Write(command=command, reply=reply, line=self.line))


@pytest.fixture
def crowd(stage, nursery):
    return Ahead(nursery, stage)


def once(store: FakeStore, error: Exception):
    """Have the next transaction of *store* fail with *error*."""

    def refuses(_: Any) -> bool:
        store.refuses = lambda _: False
        raise error

    store.refuses = refuses


async def test_no_write_overtakes_those_of_its_line_that_were_lost(autojump_clock, stage, crowd):
    once(stage.store, StoreUnavailable("cut off"))
    await crowd.sends("a", "b")
    await pass_time(0.005)
    await crowd.sends("c")
    await crowd.writes("of no line")
    await pass_time(1)
    await crowd.sends("d")
    await pass_time(1)

    assert crowd.kinds() == {
        "a": StoreUnavailable,
        "b": StoreUnavailable,
        "c": StoreUnavailable,
        "of no line": Done,
        "d": StoreUnavailable,
    }
    assert [type(each) for each in stage.store.commands] == [RevokeKey]
    assert stage.told == [True]


async def test_a_write_that_comes_when_the_store_is_back_does_not_overtake_one_that_came_before(
    autojump_clock, stage, crowd
):
    stage.store.away = True
    await crowd.writes("finds out")
    await pass_time(1)
    await crowd.sends("a")
    stage.store.away = False
    await pass_time(30)
    assert stage.told == [True, False, True]
    await crowd.sends("b")
    await pass_time(1)

    assert crowd.kinds()["b"] is StoreUnavailable
    assert stage.store.commands == []


async def test_no_write_in_the_mailbox_overtakes_those_that_an_actor_had_in_hand_when_it_failed(
    autojump_clock, stage, crowd
):
    stage.store.crashes = True
    await crowd.sends("a")
    await pass_time(0.05)
    stage.store.crashes = False
    # The next incarnation reads it.
    stage.ref.tell(late := Write(command=by("shop", "ada"), line=crowd.line))
    await pass_time(30)
    await crowd.sends("b")
    await pass_time(30)

    assert stage.store.commands == []
    with pytest.raises(StoreUnavailable):
        await late.reply.wait()
    assert crowd.kinds()["b"] is StoreUnavailable


async def test_a_lock_on_one_user_keeps_back_the_line_only_where_it_would_be_overtaken(
    autojump_clock, stage, crowd
):
    stage.store.blocks = lambda each: isinstance(each, Publish) and "ann" in each.users
    await crowd.sends("ann", "bob", "cid")
    await crowd.sends("again", users="ann")
    await pass_time(stage.store.patience + 1)

    assert crowd.kinds() == {
        "ann": StoreBlocked,
        "bob": Done,
        "cid": Done,
        "again": StoreBlocked,
    }
