"""The storage actor in good times: group commit, order, stop."""

import pytest
import trio
from outcome import Outcome

from tests.actors.clock_kit import pass_time
from tests.actors.store_kit import FakeStore, acknowledged, names_written, sent, staged
from tests.persistence.desk_kit import publish
from tocsin.actors.runtime.ref import PipedReply
from tocsin.actors.storage.commit_timing import WAIT_MAX
from tocsin.actors.storage.requests import Read, Write
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import Done, NotFound, Publish, Withdraw
from tocsin.persistence.store.key_commands import RevokeKey
from tocsin.persistence.store.queries import FindKey
from tocsin.persistence.store.results import Result
from tocsin.protocol.log.ledger import DeviceCursor

# --- group commit --------------------------------------------------------------------------------


async def test_the_store_is_ready_once_opened_and_probed(autojump_clock):
    async with staged() as stage:
        assert stage.status.available
        assert stage.status.epoch == "the-epoch"
        assert stage.told == [True]
    assert stage.told == [True, False]
    assert stage.store.closed == 1


async def test_a_lone_write_never_waits(autojump_clock):
    async with staged(FakeStore(latency=0.004)) as stage:
        for number in range(5):
            started = trio.current_time()
            assert await stage.write(str(number)) == Done()
            assert trio.current_time() - started == pytest.approx(0.004)


async def test_a_publish_to_very_many_is_not_committed_with_too_much_else(autojump_clock):
    async with staged() as stage:
        for count in (600, 600, 300, 1700, 1):
            users = map(str, range(count))
            stage.ref.tell(Write(command=publish(*users), reply=PipedReply(lambda done: None)))
        await pass_time(0.1)

        named = [
            [len(each.users) for each in batch if isinstance(each, Publish)]
            for batch in stage.store.transactions
        ]
        assert named == [[600], [600, 300], [1700], [1]]


async def test_nor_are_changes_of_what_very_many_may_have(autojump_clock):
    async with staged() as stage:
        for number in range(5):
            command = Withdraw(str(number), 0)
            stage.ref.tell(Write(command=command, reply=PipedReply(lambda done: None)))
        await pass_time(0.1)

        assert [len(batch) for batch in stage.store.transactions] == [1] * 5


async def test_a_post_to_one_waits_for_one_transaction_of_the_large_posts(autojump_clock):
    latency = 0.1
    async with staged(FakeStore(latency)) as stage:
        for _ in range(50):
            command = publish(*map(str, range(1000)))
            stage.ref.tell(Write(command=command, reply=PipedReply(lambda done: None)))
        await pass_time(0.25)
        started = trio.current_time()
        await stage.write("alone")
        assert trio.current_time() - started <= 2 * latency


async def test_every_result_is_announced_before_it_is_answered_and_reads_and_ledger_are_not(
    autojump_clock,
):
    async with staged() as stage:

        def answered(result: Outcome[Result]) -> None:
            stage.heard.append(f"answered {type(result.unwrap()).__name__}")

        stage.note(acknowledged())
        await stage.read("nothing")
        for number in range(2):
            stage.ref.tell(Write(command=RevokeKey(str(number), 0), reply=PipedReply(answered)))
        await pass_time(0.1)
        assert len(stage.store.records) == 1
        assert stage.heard == ["announced Done", "answered Done"] * 2


async def test_a_failed_command_is_not_announced(autojump_clock):
    async with staged() as stage:
        stage.store.writes_fail = True
        with pytest.raises(StoreUnavailable):
            await stage.write("0")
        assert stage.heard == []


async def test_a_lone_write_does_not_wait_for_a_crowd_of_long_ago(autojump_clock):
    async with staged() as stage:
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(stage.write, str(number))
        await pass_time(1.5)
        started = trio.current_time()
        await stage.write("alone")
        assert trio.current_time() - started == pytest.approx(stage.store.latency)


async def test_a_thousand_writes_at_once_are_few_transactions(autojump_clock):
    async with staged() as stage:
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(stage.write, str(number))
        assert len(stage.store.transactions) <= 3


async def test_commands_that_come_one_by_one_wait_for_transactions_and_little_else(autojump_clock):
    async with staged(FakeStore(latency=0.003)) as stage:

        async def write_at(number: int) -> None:
            await pass_time(0.7 * number / 1000)
            started = trio.current_time()
            await stage.write(str(number))
            latencies.append(trio.current_time() - started)

        latencies: list[float] = []
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(write_at, number)
        # The transaction under way, their own, and a moment's gathering.
        assert max(latencies) < 2 * 0.003 + WAIT_MAX + 0.0001
        assert len(stage.store.transactions) <= 0.7 / 0.003 + 3
        assert len(names_written(stage.store)) == 1000


async def test_commands_are_written_in_the_order_in_which_they_were_sent(autojump_clock):
    async with staged() as stage:
        for number in range(2500):
            stage.ref.tell(Write(command=RevokeKey(str(number), 0)))
            if number % 100 == 0:
                await pass_time(0.001)
        await stage.write("last")
        assert names_written(stage.store) == [*map(str, range(2500)), "last"]


async def test_a_transaction_has_a_limit(autojump_clock):
    async with staged() as stage:
        for number in range(2500):
            stage.ref.tell(Write(command=RevokeKey(str(number), 0)))
        await pass_time(1)
        sizes = [len(transaction) for transaction in stage.store.transactions]
        assert max(sizes) == 1000
        assert sum(sizes) == 2500


async def test_reads_are_batched_while_others_are_answered(autojump_clock):
    async with staged() as stage:
        async with trio.open_nursery() as nursery:
            for number in range(500):
                nursery.start_soon(stage.read, str(number))
        assert len(stage.store.reads) <= 8
        assert await stage.read("one more") == NotFound()


async def test_reads_and_writes_do_not_wait_for_one_another(autojump_clock):
    async with staged() as stage:
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.read, "a")
            nursery.start_soon(stage.write, "b")
        assert trio.current_time() - started == pytest.approx(stage.store.latency)


async def test_a_cancelled_asker_does_no_harm(autojump_clock):
    async with staged() as stage:
        with trio.move_on_after(0.001):
            await stage.write("a")
        await pass_time(1)
        assert names_written(stage.store) == ["a"]
        await stage.write("b")


# --- the end -------------------------------------------------------------------------------------


async def test_stop_writes_everything(autojump_clock):
    async with staged(linger=5) as stage:
        stage.note(sent("lingering"))
        stage.note(acknowledged("b"), cursor=DeviceCursor("ada", "phone", 1, 2000))
        for number in range(1500):
            stage.ref.tell(Write(command=RevokeKey(str(number), 0)))
        for number in range(1500):
            stage.ref.tell(Read(query=FindKey(str(number))))
    assert sorted(line.notification for line in stage.store.lines) == ["b", "lingering"]
    assert len(stage.store.cursors) == 1
    assert len(names_written(stage.store)) == 1500
    assert sum(map(len, stage.store.reads)) == 1500
    assert stage.store.closed == 1


async def test_stopping_when_idle_is_immediate(autojump_clock):
    async with staged() as stage:
        await pass_time(5.5)
        started = trio.current_time()
    assert trio.current_time() - started <= stage.store.latency * 2
    assert stage.told == [True, False]
