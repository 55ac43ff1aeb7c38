"""The spooler: what is accepted while the store is away comes out of it once, and in order."""

from collections.abc import Sequence

import pytest
import trio
from msgspec.structs import replace
from structlog.testing import capture_logs

from servers.proxy import Proxy
from tests.actors.clock_kit import pass_time
from tests.actors.spool_kit import Cluster, change, post, withdraw
from tests.persistence.services import RedisService, append
from tocsin.actors.runtime import ActorCrashed
from tocsin.actors.spool import spooler
from tocsin.actors.spool.drain import LEASE, Drain
from tocsin.actors.spool.entries import Spooled, encode
from tocsin.actors.spool.places import APPEND_MAX
from tocsin.actors.spool.spooler import Spooler
from tocsin.persistence.bus import Appended, Replaying, SpoolDraft, SpoolEntry
from tocsin.persistence.redis.client import RedisClient
from tocsin.persistence.store import (
    Changed,
    KeyReused,
    Overdue,
    PatchRefused,
    Publish,
    Release,
    Replayed,
    StoreFailed,
    StoreUnavailable,
    Update,
)
from tocsin.protocol.notification import Patch


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_while_the_store_is_there_nothing_is_spooled(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        assert isinstance(await node.ask(post("a")), Changed)
        assert node.line.statistics.spooled == 0


async def test_what_is_posted_while_the_store_is_away_is_accepted_and_stored_later(
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


async def test_who_comes_at_the_moment_when_the_spool_is_found_empty_goes_behind_the_others(
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


async def test_what_comes_together_is_spooled_together(autojump_clock, cluster: Cluster):
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


# --- Keys -----------------------------------------------------------------------------------------


async def test_the_same_key_gets_the_same_answer(autojump_clock, cluster: Cluster):
    async with cluster.node("one").running() as one, cluster.node("two").running() as two:
        await lose_store(cluster)
        first = await one.ask(post("a", key="k"))
        again = await two.ask(post("a", key="k"))
        assert isinstance(first, Spooled)
        assert again == Spooled(first.answer, replayed=True)
        assert await two.ask(post("b", key="k", meaning=b"another")) == KeyReused()
        cluster.store.away = False
        await one.drained()
        assert await cluster.log_of("ada") == ["a"]
        await two.drained()
        assert isinstance(await two.ask(post("a", key="k")), Replayed)


async def test_a_key_that_was_used_before_the_outage_keeps_its_first_meaning(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        await node.ask(post("a", key="k"))
        await lose_store(cluster)
        assert isinstance(await node.ask(post("a", key="k")), Spooled)
        assert isinstance(await node.ask(post("z", key="l", meaning=b"z")), Spooled)
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a", "z"]
        assert node.line.statistics.repeated == 1


async def test_a_key_that_was_used_for_another_post_before_the_outage_is_put_aside(
    autojump_clock,
    cluster: Cluster,
):
    async with cluster.node().running() as node:
        await node.ask(post("a", key="k"))
        await lose_store(cluster)
        await node.ask(post("b", key="k", meaning=b"another"))
        cluster.store.away = False
        await node.drained()
        [(_, reason)] = await cluster.broker.spool("one").poisoned(10)
        assert reason == "idempotency_key_reused"


async def test_a_repetition_that_comes_too_late_gets_the_first_answer_or_waits_for_the_store(
    autojump_clock, cluster: Cluster
):
    async with cluster.node("one").running() as one, cluster.node("two").running() as two:
        stored = await one.ask(post("stored", key="s"))
        await lose_store(cluster)
        spooled = await one.ask(post("spooled", key="k"))
        assert isinstance(spooled, Spooled)

        assert await two.ask(late("spooled", "k")) == Spooled(spooled.answer, replayed=True)
        assert await two.ask(late("spooled", "k", b"another")) == KeyReused()
        for key in ("s", "new"):
            # Only the store can tell the one from the other.
            with pytest.raises(StoreUnavailable):
                await two.ask(late("stored", key))
        assert (one.line.statistics.spooled, two.line.statistics.spooled) == (1, 0)

        cluster.store.away = False
        await one.drained()
        await two.drained()
        assert isinstance(stored, Changed)
        again = await two.ask(late("stored", "s"))
        assert isinstance(again, Replayed)
        assert stored.content.id in again.answer
        assert isinstance(await two.ask(late("spooled", "k")), Replayed)
        assert await two.ask(late("stored", "new")) == Overdue()
        assert await cluster.log_of("ada") == ["stored", "spooled"]


# --- What cannot be spooled, or stored ------------------------------------------------------------


async def test_a_revision_cannot_be_compared_while_the_store_is_away(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        a = post("a")
        await node.ask(a)
        await lose_store(cluster)
        with pytest.raises(StoreUnavailable):
            await node.ask(change(a, "b", expected_revisions=(1,)))


async def test_a_change_of_nothing_is_refused_at_once(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        refused = await node.ask(replace(change(post("a"), "b"), patch=Patch()))
        assert isinstance(refused, PatchRefused)


async def test_a_spooler_that_fails_leaves_its_line_to_the_next(
    autojump_clock, cluster: Cluster, monkeypatch
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        fails = [True]
        advance = Spooler._append

        async def fail(spooler: Spooler) -> None:
            if fails:
                fails.clear()
                raise ZeroDivisionError
            await advance(spooler)

        monkeypatch.setattr(Spooler, "_append", fail)
        posts = [post(title) for title in "abc"]
        replies = [node.submit(each) for each in posts]
        for reply in replies:
            with trio.fail_after(30):
                assert isinstance(await reply.wait(), Spooled)
        assert fails == []
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a", "b", "c"]


async def test_a_command_that_fails_the_spooler_is_refused_and_does_not_fail_the_next(
    autojump_clock, cluster: Cluster, monkeypatch
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        with monkeypatch.context() as patched:
            patched.setattr(spooler, "prepare", lambda *_: 1 / 0)
            with pytest.raises(ActorCrashed):
                await node.ask(post("a"))
        assert isinstance(await node.ask(post("b")), Spooled)


async def test_what_a_drain_had_in_hand_when_it_failed_is_drained_once_by_the_next(
    autojump_clock, cluster: Cluster, monkeypatch
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        for title in "abc":
            await node.ask(post(title))
        fails = [True]
        forget = Drain._forget

        async def fail(drain: Drain, entries: Sequence[SpoolEntry]) -> None:
            if fails:
                fails.clear()
                raise ZeroDivisionError
            await forget(drain, entries)

        monkeypatch.setattr(Drain, "_forget", fail)
        cluster.store.away = False
        await node.drained()
        assert fails == []
        assert await cluster.log_of("ada") == ["a", "b", "c"]
        assert (node.line.statistics.drained, node.line.statistics.repeated) == (3, 0)


async def test_without_store_and_spool_posts_are_refused(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        cluster.broker.stop()
        replies = [node.submit(post(title)) for title in "abc"]
        for reply in replies:
            with trio.fail_after(30), pytest.raises(StoreUnavailable):
                await reply.wait()
        cluster.broker.start()
        assert isinstance(await node.ask(post("d")), Spooled)


async def test_without_the_spool_the_store_is_enough(autojump_clock, cluster: Cluster):
    cluster.broker.stop()
    async with cluster.node().running() as node:
        assert isinstance(await node.ask(post("a")), Changed)
        assert not node.line.reachable
        cluster.broker.start()
        await pass_time(2)
        assert node.line.reachable


async def test_an_entry_that_the_store_refuses_is_put_aside_and_the_others_go_on(
    autojump_clock,
    cluster: Cluster,
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        for title in "abc":
            await node.ask(post(title))
        await append(cluster.broker.spool("one"), b"rubbish")
        cluster.store.refuses = lambda command: (
            isinstance(command, Publish) and '"title":"b"' in command.content.document
        )
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a", "c"]
        assert node.line.statistics.poisoned == 2
        reasons = [reason for _, reason in await cluster.broker.spool("one").poisoned(10)]
        assert [reason.partition(":")[0] for reason in reasons] == ["poison", "unreadable"][::-1]


@pytest.mark.parametrize("foreign", [3, 2000])
async def test_entries_that_are_not_of_the_cluster_are_put_aside_and_the_others_go_on(
    autojump_clock, cluster: Cluster, foreign: int
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        await node.ask(post("a"))
        waiting = cluster.broker._entries.waiting
        for number in range(foreign):
            entry = SpoolEntry(f"foreign-{number}", encode(post("forged", "ada")), fault="forged")
            waiting[entry.id] = entry
        await node.ask(post("b"))
        cluster.store.away = False
        with capture_logs() as lines:
            await node.drained()
        assert await cluster.log_of("ada") == ["a", "b"]
        assert node.line.statistics.poisoned == foreign
        [aside] = await node.line.poisoned(1)
        assert aside.reason == "not of this cluster: forged"
        assert len([line for line in lines if line["log_level"] == "error"]) == 0

        assert await node.line.replay(aside.entry) is Replaying.REFUSED
        assert await node.line.replay(aside.entry, vouched=True) is Replaying.DONE
        await node.drained()
        await pass_time(2)
        assert await cluster.log_of("ada") == ["a", "b", "forged"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"v":1,"kind":"publish","command":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"v":1,"kind":"purge","command":{}}',
        b'{"v":1e400,"kind":"publish","command":{}}',
        b'{"v":1,"kind":"publish","command":{"content":null,"users":[],"credential":1}}',
    ],
)
async def test_an_entry_of_any_bytes_ends_nobody(autojump_clock, cluster: Cluster, payload: bytes):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        await append(cluster.broker.spool("one"), payload)
        await node.ask(post("a"))
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a"]
        [aside] = await node.line.poisoned(10)
        assert aside.reason.startswith("unreadable: ")


async def test_what_was_put_aside_is_stored_when_it_is_replayed_and_can_be(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        a = post("a")
        await node.ask(a)
        await lose_store(cluster)
        await node.ask(change(a, "b"))
        cluster.store.refuses = lambda command: isinstance(command, Update)
        cluster.store.away = False
        await node.drained()
        [aside] = await node.line.poisoned(10)
        cluster.store.refuses = lambda command: False

        assert await node.line.replay(aside.entry) is Replaying.DONE
        await pass_time(2)

        assert await cluster.log_of("ada") == ["b"]
        assert await node.line.poisoned(10) == []
        assert not await node.line.discard(aside.entry)


async def test_what_the_store_refuses_directly_is_not_spooled(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        cluster.store.refuses = lambda command: isinstance(command, Publish)
        with pytest.raises(StoreFailed):
            await node.ask(post("a"))


# --- Time -----------------------------------------------------------------------------------------


async def test_what_expired_in_the_spool_is_never_delivered(autojump_clock, cluster: Cluster):
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


async def test_what_fell_due_in_the_spool_is_released_at_once(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        now_ms = cluster.world.now_ms()
        await node.ask(post("due", now_ms=now_ms, deliver_at=now_ms + 50))
        await pass_time(1)
        cluster.store.away = False
        await node.drained()
        await cluster.store.write([Release(cluster.world.now_ms(), 100)])
        assert await cluster.log_of("ada") == ["due"]


# --- Crashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("latency", [0.001, 0.5, 5.0])
@pytest.mark.parametrize("moment", [0.0, 0.002, 0.02, 0.3, 0.6, 1.1])
async def test_what_a_dead_node_was_draining_is_stored_once_by_another(
    autojump_clock, cluster: Cluster, latency: float, moment: float
):
    titles = [str(number) for number in range(600)]
    async with cluster.node("one").running() as one:
        await lose_store(cluster)
        for title in titles:
            await one.ask(post(title))
        cluster.store.away = False
        cluster.store.latency = latency
        await pass_time(moment)
    async with cluster.node("two").running() as two:
        await two.drained()
        assert await cluster.log_of("ada") == titles


async def test_changes_that_a_dead_node_has_made_already_are_not_made_again(
    autojump_clock, cluster: Cluster
):
    posts = [post(str(number)) for number in range(100)]
    async with cluster.node("one").running() as one:
        await lose_store(cluster)
        for each in posts:
            await one.ask(each)
            for title in "ab":
                await one.ask(change(each, f"{each.content.id} {title}"))
        await one.ask(withdraw(posts[0]))
        cluster.store.away = False
        cluster.store.on_commit = lambda: cluster.broker.cut("one")
        await pass_time(5)
    cluster.store.on_commit = lambda: None
    made = len(cluster.store.written)
    assert made, "it has died before it drained"
    async with cluster.node("two").running() as two:
        await two.drained()
        assert await cluster.log_of("ada") == [f"{each.content.id} b" for each in posts[1:]]
        assert two.line.statistics.repeated == made
    assert [await cluster.revision_of(each) for each in posts] == [3] * len(posts)


async def test_a_node_that_was_stopped_while_it_drained_does_no_harm_when_it_goes_on(
    autojump_clock, cluster: Cluster
):
    a, b = post("a"), post("b")
    async with cluster.node("one").running() as one:
        await lose_store(cluster)
        await one.ask(a)
        await one.ask(change(a, "a, changed"))
        await one.ask(b)
        await one.ask(withdraw(b))
        cluster.store.latency = 2 * LEASE
        cluster.store.away = False
        await pass_time(2.0)
        assert await cluster.broker.spool("two").take("two", 1, LEASE) is None
        # What it has handed to the store by now comes there when others have done it long since.
        cluster.store.latency = 0.003
        async with cluster.node("two").running() as two:
            await pass_time(LEASE)
            await two.drained()
            await two.ask(change(a, "a, changed later"))
            await two.ask(post("c"))
            assert one.line.statistics.drained == 0
            await pass_time(2 * LEASE)
            assert one.line.statistics.repeated == 4
    assert await cluster.log_of("ada") == ["a, changed later", "c"]
    assert await cluster.revision_of(a) == 3
    assert await cluster.standing_of(b.content.id) == "withdrawn"


async def test_a_node_whose_spool_goes_away_between_commit_and_done_stores_nothing_twice(
    autojump_clock,
    cluster: Cluster,
):
    async with cluster.node().running() as node:
        a = post("a")
        await lose_store(cluster)
        await node.ask(a)
        await node.ask(change(a, "b"))
        cluster.store.away = False
        cluster.store.on_commit = lambda: cluster.broker.cut("one")
        await pass_time(10)
        cluster.store.on_commit = lambda: None
        cluster.broker.mend("one")
        await node.drained()
        assert len(cluster.store.written) == 2


async def test_what_redis_was_not_told_to_be_done_is_not_done_again(redis_url: str):
    cluster, service = Cluster(), RedisService(redis_url)
    cluster.spool = service.spool
    with Proxy(redis_url) as line:
        async with service.running():
            service.clients["one"] = RedisClient(line.url, timeout=1.0)
            cluster.store.away = True
            posts = [post(str(number)) for number in range(20)]
            async with cluster.node("one").running() as one:
                for each in posts:
                    assert isinstance(await one.ask(each), Spooled)
                    await one.ask(change(each, f"{each.content.id} changed"))
                await one.ask(withdraw(posts[0]))
                cluster.store.on_commit = line.cut
                cluster.store.away = False
                with trio.fail_after(10):
                    while len(cluster.store.written) < 41:
                        await pass_time(0.01)
            cluster.store.on_commit = lambda: None
            await service.client("two").call(("DEL", "tocsin:spool:lease"))
            async with cluster.node("two").running() as two:
                await two.drained()
                assert two.line.statistics.repeated == 41
    assert [await cluster.revision_of(each) for each in posts] == [2] * 20
    assert await cluster.log_of("ada") == [f"{each.content.id} changed" for each in posts[1:]]


def late(title: str, key: str, meaning: bytes = b"") -> Publish:
    """A post whose content has expired by the time that it comes."""
    return replace(post(title, key=key, meaning=meaning), overdue=True)


async def lose_store(cluster: Cluster) -> None:
    cluster.store.away = True
    await pass_time(5)
