"""The storage actor where somebody else holds a lock, and where one connection is lost."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.store_kit import Crowd, acknowledged, staged
from tests.persistence.desk_kit import publish
from tocsin.actors.storage.blockades import PAUSE, Blockades, parties
from tocsin.actors.storage.lines import Line
from tocsin.actors.storage.requests import Write
from tocsin.persistence.store import StoreBlocked, StoreUnavailable
from tocsin.persistence.store.commands import Done, Publish
from tocsin.persistence.store.key_commands import RevokeKey
from tocsin.persistence.store.upkeep_commands import Expire


def about(*names):
    def blocks(thing):
        if isinstance(thing, Publish):
            return any(name in thing.users for name in names)
        return getattr(thing, "notification", None) in names

    return blocks


class Posts(Crowd):
    """Many who post at once."""

    async def posts(self, *users):
        for name in users:
            write = Write(command=publish(*name.split("+")))
            await self._start(name, write)


@pytest.fixture
def crowd(stage, nursery):
    return Posts(nursery, stage)


def blocked(crowd):
    return {name for name, kind in crowd.kinds().items() if kind is StoreBlocked}


async def test_a_blocked_party_is_refused_and_the_others_are_stored(autojump_clock, stage, crowd):
    stage.store.blocks = about("ann")
    await crowd.posts("first")
    await crowd.posts(*(f"user-{number}" for number in range(200)), "ann")

    await pass_time(stage.store.patience + 12 * stage.store.hurry + 1)

    assert blocked(crowd) == {"ann"}
    assert len(crowd.answers) == 202
    assert stage.told == [True]


async def test_a_party_known_to_be_blocked_costs_the_others_a_moment_now_and_then(
    autojump_clock, stage, crowd
):
    stage.store.blocks = about("ann")
    await crowd.posts("ann")
    await pass_time(5)

    longest = 0.0
    for number in range(300):
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            both = Posts(nursery, stage)
            await both.posts("ann", f"user-{number}")
        assert blocked(both) == {"ann"}
        longest = max(longest, trio.current_time() - began)
        await pass_time(0.01)

    assert longest < 0.3
    assert stage.store.times[-1] - stage.store.times[0] < 300 * 0.05


async def test_when_the_lock_is_given_back_posts_go_on(autojump_clock, stage, crowd):
    stage.store.blocks = about("ann")
    await crowd.posts("ann")
    await pass_time(5)
    stage.store.blocks = lambda _: False

    await pass_time(PAUSE)
    async with trio.open_nursery() as nursery:
        later = Posts(nursery, stage)
        await later.posts("ann")

    assert blocked(later) == set()


async def test_of_a_post_to_many_who_is_blocked_stays_suspect_and_the_others_do_not(
    autojump_clock, stage, crowd
):
    stage.store.blocks = about("ann")
    await crowd.posts("ann+bob+cid")
    await pass_time(5)

    for user in ("bob", "cid"):
        async with trio.open_nursery() as nursery:
            each = Posts(nursery, stage)
            await each.posts(user)
        assert blocked(each) == set()
    stage.store.attempts = 0
    await crowd.posts("bob+cid", "dan")
    await pass_time(1)
    assert stage.store.attempts <= 2  # together again, or one after the other as they came


async def test_a_ledger_line_that_is_blocked_waits_and_holds_up_nobody(autojump_clock, stage):
    stage.store.blocks = about("stuck")
    stage.note(acknowledged("stuck"), acknowledged("a"), acknowledged("b"))
    await pass_time(4)
    assert {line.notification for line in stage.store.lines} == {"a", "b"}
    began = trio.current_time()
    assert await stage.write("command") == Done()
    assert trio.current_time() - began < 0.1

    stage.store.blocks = lambda _: False
    await pass_time(10)
    assert stage.store.lines[-1] == acknowledged("stuck")
    assert stage.told == [True]


async def test_a_ledger_line_that_is_blocked_is_tried_once_more_at_the_end(autojump_clock):
    async with staged() as stage:
        stage.store.blocks = about("stuck")
        stage.note(acknowledged("stuck"))
        await pass_time(4)
        stage.store.blocks = lambda _: False
    assert stage.store.lines == [acknowledged("stuck")]


async def test_stopping_ends_though_a_ledger_line_is_blocked(autojump_clock):
    async with staged(grace=10) as stage:
        stage.store.blocks = about("stuck")
        stage.note(acknowledged("stuck"))
        await pass_time(4)
        began = trio.current_time()
    assert trio.current_time() - began <= 10


async def test_a_connection_that_is_lost_takes_only_its_own_transaction_along(
    autojump_clock, stage, crowd
):
    broken = [False]

    def breaks(_):
        if not broken[0]:
            broken[0] = True
            raise StoreUnavailable("cut off")
        return False

    stage.store.refuses, stage.store.latency = breaks, 0.5
    await crowd.writes("lost")
    await pass_time(0.1)
    await crowd.writes("waits", "waits too")
    await pass_time(2)

    lost = {name for name, kind in crowd.kinds().items() if kind is StoreUnavailable}
    assert (lost, len(crowd.answers)) == ({"lost"}, 3)
    assert stage.told == [True]


async def test_commands_behind_a_time_out_are_answered_at_once(autojump_clock, stage, crowd):
    def hangs(_):
        raise StoreUnavailable("no answer", timed_out=True)

    stage.store.refuses, stage.store.latency = hangs, 0.5
    await crowd.writes("hung")
    await pass_time(0.1)
    await crowd.writes("waits")
    await pass_time(0.41)

    assert set(crowd.kinds().values()) == {StoreUnavailable}
    assert len(crowd.answers) == 2


async def test_a_store_that_hangs_behind_a_lost_connection_is_given_up_soon(
    autojump_clock, stage, crowd
):
    def breaks(_):
        stage.store.hangs = True
        raise StoreUnavailable("cut off")

    stage.store.refuses = breaks
    await crowd.writes("lost")
    await pass_time(0.005)
    await crowd.writes("waits")
    await pass_time(2.5)

    assert set(crowd.kinds().values()) == {StoreUnavailable}
    assert stage.told == [True, False]
    await settle()


# --- Which parts ---------------------------------------------------------------------------------


class Waits:
    def __init__(self, command, line=None):
        self.command = command
        self.line = line

    def __repr__(self):
        return "+".join(parties(self.command))


def parts(blockades, *waiting):
    return [[repr(each) for each in part] for part in blockades.parts(list(waiting))]


def test_without_suspects_there_is_one_part():
    assert parts(Blockades(), Waits(publish("ann")), Waits(publish("bob"))) == [["ann", "bob"]]


def test_suspects_come_last_and_alone():
    blockades: Blockades[Any] = Blockades()
    blockades.blocked(publish("ann"), 0.0)
    ann, bob, both = (Waits(publish(*names)) for names in (["ann"], ["bob"], ["bob", "ann"]))
    assert parts(blockades, ann, bob, both) == [["bob"], ["ann"], ["bob+ann"]]


def test_a_line_keeps_its_order():
    blockades: Blockades[Any] = Blockades()
    blockades.blocked(publish("ann"), 0.0)
    line = Line("spool")
    ann, bob, cid = (Waits(publish(name), line) for name in ("ann", "bob", "cid"))
    other = Waits(publish("dan"))
    assert parts(blockades, bob, ann, bob, cid, other, ann) == [
        *(["bob", "dan"], ["ann"], ["bob", "cid"], ["ann"])
    ]


def test_a_command_that_names_no_user_is_a_party_by_its_lane():
    assert parties(RevokeKey("k", 0)) == ()
    assert parties(Expire(0, 100)) == ("upkeep",)
