"""The topics: whoever is online is brought up to date, in chunks, whatever the store does."""

from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.actors.clock_kit import pass_time, settle
from tocsin.actors.publishing.topics import CHUNK, FEW, Topics, TopicsWorker
from tocsin.actors.runtime.supervisor import Actor, open_supervisor
from tocsin.actors.storage.requests import Write
from tocsin.actors.world import World
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.user_commands import Materialise, Materialised
from tocsin.protocol.notifications.notification import EVERYONE


class Materialiser(Actor[Any]):
    """Stands in for storage: notes who was brought up to date, and when."""

    def __init__(self) -> None:
        self.brought: list[tuple[str, ...]] = []
        self.times: list[float] = []
        self.errors: list[Exception] = []
        self.behind: dict[str, int] = {}
        self.latency = 0.0
        self.refuses = ""
        self.bug = False
        """Whether the next is answered with what no actor of topics understands."""

    async def receive(self, message: Any) -> None:
        assert isinstance(message, Write)
        assert isinstance(message.command, Materialise)
        await pass_time(self.latency)
        if self.errors:
            message.reply.fail(self.errors.pop(0))
            return
        if self.bug:
            self.bug = False
            message.reply.set(NotFound())
            return
        users = message.command.users
        if self.refuses in users:
            message.reply.fail(StoreFailed("poison"))
            return
        self.brought.append(users)
        self.times.append(trio.current_time())
        still = tuple(user for user in users if self.behind.get(user, 0) > 0)
        for user in still:
            self.behind[user] -= 1
        message.reply.set(Materialised((), still))


@asynccontextmanager
async def running(store: Materialiser, online: list[str] | None = None):
    world = World(lambda: 0, lambda: 0.0, bytes)
    async with open_supervisor("", lambda: 0.0) as tree:
        storage = tree.spawn("storage", lambda: store)
        topics = Topics(lambda: online or [])
        tree.spawn("topics", lambda: TopicsWorker(topics, storage, world))
        await settle()
        yield topics
        await tree.stop(5)


async def test_an_entry_of_a_topic_is_brought_to_those_of_its_users_who_are_online(autojump_clock):
    store = Materialiser()
    async with running(store) as topics:
        topics.present("ann", ["news", "sport"])
        topics.present("bob", ["sport"])
        topics.present("cem", [])
        topics.advanced("sport")
        await settle()
        topics.advanced("news")
        await settle()
        topics.advanced("nobody's")
        await settle()
    assert [set(users) for users in store.brought] == [{"ann", "bob"}, {"ann"}]


async def test_a_user_whose_materialising_failed_is_brought_by_the_next_incarnation(
    autojump_clock,
):
    store = Materialiser()
    store.bug = True
    async with running(store) as topics:
        topics.present("ann", ["news"])
        topics.advanced("news")
        await settle()
        assert store.brought == []
        await pass_time(1)
    assert store.brought == [("ann",)]


async def test_an_absent_user_is_not_brought_up_to_date(autojump_clock):
    store = Materialiser()
    async with running(store) as topics:
        topics.present("ann", ["news"])
        topics.absent("ann")
        topics.absent("bob")
        topics.subscribed("news", ["cem"])
        topics.advanced("news")
        await settle()
    assert store.brought == []


async def test_a_user_who_subscribes_while_online_is_in_the_topic_from_then_on(autojump_clock):
    store = Materialiser()
    async with running(store) as topics:
        topics.present("ann", [])
        topics.subscribed("news", ["ann", "bob"])
        topics.advanced("news")
        await settle()
    assert store.brought == [("ann",)]


async def test_a_broadcast_is_brought_to_all_users_online(autojump_clock):
    store = Materialiser()
    async with running(store, ["ann", "bob"]) as topics:
        topics.advanced(EVERYONE)
        await settle()
    assert store.brought == [("ann", "bob")]


async def test_many_are_brought_up_to_date_in_chunks_one_at_a_time(autojump_clock):
    store = Materialiser()
    store.latency = 1.0
    users = [f"user-{number}" for number in range(2 * CHUNK + 10)]
    async with running(store, users) as topics:
        topics.advanced(EVERYONE)
        await pass_time(0.5)
        topics.advanced(EVERYONE)  # again while the first chunk is on its way
        await pass_time(10)
    # The first chunk's users are behind once more; the others had not been looked at yet.
    assert [len(chunk) for chunk in store.brought] == [CHUNK, CHUNK, CHUNK, 10]
    assert store.times == [1.0, 2.0, 3.0, 4.0]
    assert store.brought[2][10:] + store.brought[3] == store.brought[0]


async def test_a_user_too_far_behind_for_one_transaction_gets_the_rest_in_further_ones(
    autojump_clock,
):
    store = Materialiser()
    store.behind = {"ann": 2}
    async with running(store) as topics:
        topics.behind("ann")
        await settle()
    assert store.brought == [("ann",)] * 3


async def test_users_far_behind_are_brought_among_few_and_in_turns_with_the_others(autojump_clock):
    store = Materialiser()
    store.latency = 1.0
    users = [f"user-{number}" for number in range(2 * CHUNK)]
    far = users[: FEW + 1]
    store.behind = dict.fromkeys(far, 1)
    async with running(store, users) as topics:
        topics.advanced(EVERYONE)
        await pass_time(10)
    expected = [tuple(users[:CHUNK]), tuple(far[:FEW]), tuple(users[CHUNK:]), tuple(far[FEW:])]
    assert store.brought == expected


async def test_users_that_an_absent_store_could_not_bring_are_tried_again(autojump_clock):
    store = Materialiser()
    store.errors = [StoreUnavailable("away")] * 3
    async with running(store, ["ann"]) as topics:
        topics.advanced(EVERYONE)
        await pass_time(10)
    assert store.brought == [("ann",)]
    assert store.times == [3.0]


async def test_a_materialising_that_the_store_refuses_is_not_tried_for_ever(autojump_clock):
    store = Materialiser()
    store.errors = [StoreFailed("poison")]
    async with running(store, ["ann"]) as topics:
        topics.advanced(EVERYONE)
        await pass_time(100)
        assert store.brought == []
        topics.advanced(EVERYONE)
        await settle()
    assert store.brought == [("ann",)]


async def test_when_the_store_is_back_everybody_is_looked_after(autojump_clock):
    """A commit whose answer was lost has not been announced."""
    store = Materialiser()
    async with running(store, ["ann", "bob"]) as topics:
        topics.store_changed(False)
        await settle()
        assert store.brought == []
        topics.store_changed(True)
        await settle()
    assert store.brought == [("ann", "bob")]


async def test_one_user_whom_the_store_refuses_does_not_keep_the_others_from_their_news(
    autojump_clock,
):
    store = Materialiser()
    store.refuses = "cem"
    async with running(store) as topics:
        for user in ("ann", "bob", "cem", "dan", "eve"):
            topics.present(user, ["news"])
        topics.advanced("news")
        await settle()
    assert sorted(sum(store.brought, ())) == ["ann", "bob", "dan", "eve"]
