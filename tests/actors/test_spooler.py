"""The spooler: what is accepted while the store is away comes out of it once, and in order."""

from collections.abc import Sequence
from typing import Any

import trio
from msgspec.structs import replace

from tests.actors.clock_kit import pass_time
from tests.actors.spool_kit import Cluster, change, lose_store, post, withdraw
from tocsin.actors.spool.entries import Spooled
from tocsin.actors.spool.places import APPEND_MAX
from tocsin.persistence.bus import Appended, SpoolDraft
from tocsin.persistence.store import StoreBlocked, StoreUnavailable
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Changed, Publish
from tocsin.persistence.store.upkeep_commands import Release


async def test_while_the_store_is_there_nothing_is_spooled(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        assert isinstance(await node.ask(post("a")), Changed)
        assert node.line.statistics.spooled == 0


async def test_a_post_while_the_store_is_away_is_accepted_and_stored_later(
    autojump_clock,
    cluster: Cluster,
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        a = post("a")
        spooled = await node.ask(a)
        assert isinstance(spooled, Spooled)
        assert f'"id":"{a.content.id}"' in spooled.answer
        assert spooled.answer.endswith('"durability":"spooled"}')
        assert await node.ask(change(a, "a, corrected")) == Spooled(
            f'{{"id":"{a.content.id}","durability":"spooled"}}'
        )
        b = post("b")
        await node.ask(b)
        await node.ask(withdraw(b))
        await node.ask(post("c"))
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a, corrected", "c"]
        assert await cluster.standing_of(b.content.id) == "withdrawn"
        assert isinstance(await node.ask(post("d")), Changed)


async def test_a_topics_recipients_are_not_known_yet(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        command = post("a", topic="news")
        spooled = await node.ask(replace(command, users=()))
        assert isinstance(spooled, Spooled)
        assert '"recipients":null' in spooled.answer


async def test_posts_keep_their_order_through_the_outage_whichever_way_they_go(
    autojump_clock, cluster: Cluster
):
    titles = [str(number) for number in range(900)]
    async with cluster.node().running() as node:
        replies = []
        for number, title in enumerate(titles):
            cluster.store.away = 200 <= number < 600
            replies.append(node.submit(post(title)))
            if number % 7 == 0:
                await pass_time(0.005)
        for reply in replies:
            with trio.fail_after(30):
                assert isinstance(await reply.wait(), Changed | Spooled)
        await node.drained()
        assert await cluster.log_of("ada") == titles
        statistics = node.line.statistics
        assert 400 <= statistics.spooled < 900
        assert isinstance(await node.ask(post("afterwards")), Changed)


async def test_under_steady_load_posts_find_their_way_back_to_the_store(
    autojump_clock, cluster: Cluster
):
    async with cluster.node("one").running() as one, cluster.node("two").running() as two:
        await lose_store(cluster)
        for _ in range(600):
            await one.ask(post("before"))
        cluster.store.away = False
        for number in range(2000):
            one.submit(post(str(number)))
            two.submit(post(str(number), "bob"))
            await pass_time(0.002)
        assert isinstance(await one.ask(post("last")), Changed)
        assert isinstance(await two.ask(post("last", "bob")), Changed)
        titles = [str(number) for number in range(2000)]
        assert await cluster.log_of("bob") == [*titles, "last"]
        assert await cluster.log_of("ada") == [*["before"] * 600, *titles, "last"]


async def test_a_post_at_the_moment_when_the_spool_is_found_empty_goes_behind_the_others(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        back = trio.Event()
        node.status.watchers.append(lambda available: back.set() if available else None)
        for round_ in range(20):
            await lose_store(cluster)
            back = trio.Event()
            cluster.store.away = False
            await back.wait()
            user = f"user-{round_}"
            replies = []
            for number in range(50):
                replies.append(node.submit(post(str(number), user)))
                await trio.lowlevel.checkpoint()
            with trio.fail_after(30):
                assert all([isinstance(await each.wait(), Changed) for each in replies])
            assert await cluster.log_of(user) == [str(number) for number in range(50)]


async def test_posts_that_come_together_are_spooled_together(autojump_clock, cluster: Cluster):
    spool = cluster.broker.spool("one")
    append, sizes = spool.append, list[int]()

    async def counted(drafts: Sequence[SpoolDraft]) -> Appended:
        sizes.append(len(drafts))
        await pass_time(0.001)
        return await append(drafts)

    spool.append = counted  # type: ignore[method-assign]
    cluster.spool = lambda name: spool
    async with cluster.node().running() as node:
        await lose_store(cluster)
        titles = [str(number) for number in range(1000)]
        replies = [node.submit(post(title)) for title in titles]
        for reply in replies:
            assert isinstance(await reply.wait(), Spooled)
        assert sizes == [APPEND_MAX, APPEND_MAX, APPEND_MAX, 1000 - 3 * APPEND_MAX]
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == titles


async def test_a_commit_that_nobody_heard_of_is_not_repeated(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        cluster.store.forgets = True
        replies = [node.submit(post(title)) for title in "abc"]
        await pass_time(1)
        cluster.store.forgets = False
        for reply in replies:
            assert isinstance(await reply.wait(), Spooled)
        await node.drained()
        assert await cluster.log_of("ada") == ["a", "b", "c"]
        assert node.line.statistics.repeated == 3


async def test_a_post_waits_behind_what_another_node_has_spooled(autojump_clock, cluster: Cluster):
    async with cluster.node("one").running() as one, cluster.node("two").running() as two:
        await lose_store(cluster)
        await one.ask(post("first"))
        cluster.store.away = False
        reply = two.submit(post("second"))
        with trio.fail_after(30):
            await reply.wait()
        await two.drained()
        assert await cluster.log_of("ada") == ["first", "second"]
        assert one.line.statistics.drained + two.line.statistics.drained >= 1


async def test_a_post_that_expired_in_the_spool_is_never_delivered(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        brief = post("brief", now_ms=cluster.world.now_ms(), expires_at=cluster.world.now_ms() + 50)
        await node.ask(brief)
        await node.ask(post("lasting"))
        await pass_time(1)
        cluster.store.away = False
        await node.drained()
        await cluster.store.write([Release(cluster.world.now_ms(), 100)])
        assert await cluster.log_of("ada") == ["lasting"]
        assert await cluster.standing_of(brief.content.id) == "expired"
        assert node.line.statistics.expired == 1


async def test_a_post_that_fell_due_in_the_spool_is_released_at_once(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        now_ms = cluster.world.now_ms()
        await node.ask(post("due", now_ms=now_ms, deliver_at=now_ms + 50))
        await pass_time(1)
        cluster.store.away = False
        await node.drained()
        await cluster.store.write([Release(cluster.world.now_ms(), 100)])
        assert await cluster.log_of("ada") == ["due"]


async def test_entries_in_several_transactions_keep_their_order_where_the_first_is_lost(
    autojump_clock, cluster: Cluster
):
    """Commands to many users go in transactions of their own, behind those to a few."""
    many = [f"user-{number}" for number in range(100)]
    async with cluster.node().running() as node:
        await lose_store(cluster)
        lost = post("c")
        posts = (post("a"), post("b", "ada", *many), lost, post("d", "ada", *many), post("e"))
        for command in posts:
            await node.ask(command)
        failures = [StoreUnavailable("cut off")]

        def lose_one(command: Command[Any]) -> bool:
            if failures and command == lost:
                raise failures.pop()
            return False

        cluster.store.refuses = lose_one
        cluster.store.away = False
        await node.drained()
        assert not failures
        assert await cluster.log_of("ada") == ["a", "b", "c", "d", "e"]


async def test_a_change_of_a_blocked_entry_waits_with_it(autojump_clock, cluster: Cluster):
    """Alone, it would find no notification to change, and be forgotten."""
    async with cluster.node().running() as node:
        await lose_store(cluster)
        blocked, other = post("blocked"), post("other", "bob")
        for command in (blocked, withdraw(blocked), other):
            await node.ask(command)

        def block(command: Command[Any]) -> bool:
            if isinstance(command, Publish) and "ada" in command.users:
                raise StoreBlocked("a lock")
            return False

        cluster.store.refuses = block
        cluster.store.away = False
        await pass_time(10)
        assert await cluster.log_of("bob") == ["other"]
        cluster.store.refuses = lambda command: False
        await node.drained()
        assert await cluster.standing_of(blocked.content.id) == "withdrawn"
