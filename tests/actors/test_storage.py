"""The storage actor in good times: group commit, order, the ledger, backpressure, stop."""

from collections.abc import Callable
from itertools import count

import pytest
import trio
from outcome import Outcome

from tests.actors.clock_kit import pass_time, settle
from tests.actors.store_kit import FakeStore, Stage, acknowledged, sent, staged
from tests.persistence.desk import publish
from tocsin.actors.runtime import MailboxFull, PipedReply
from tocsin.actors.storage import actor as storage
from tocsin.actors.storage import ledger
from tocsin.actors.storage.commit_timing import WAIT_MAX
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.persistence.store import (
    Attach,
    Done,
    FindKey,
    NotFound,
    Publish,
    ReadDeliveries,
    Record,
    Result,
    RevokeKey,
    StoreUnavailable,
    Withdraw,
)
from tocsin.protocol.ledger import DeviceCursor, SessionEnd

OVER = SessionEnd("ada", "phone", "a/1")


def names(store: FakeStore) -> list[str]:
    return [command.id for command in store.commands if isinstance(command, RevokeKey)]


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


async def test_what_is_for_very_many_is_not_committed_with_too_much_else(autojump_clock):
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


async def test_who_posts_to_one_waits_for_one_transaction_of_those_who_post_to_many(autojump_clock):
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


async def test_what_the_store_did_not_do_is_not_announced(autojump_clock):
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


async def test_those_who_come_one_by_one_wait_for_transactions_and_little_else(autojump_clock):
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
        assert len(names(stage.store)) == 1000


async def test_what_is_written_keeps_the_order_in_which_it_was_sent(autojump_clock):
    async with staged() as stage:
        for number in range(2500):
            stage.ref.tell(Write(command=RevokeKey(str(number), 0)))
            if number % 100 == 0:
                await pass_time(0.001)
        await stage.write("last")
        assert names(stage.store) == [*map(str, range(2500)), "last"]


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
        assert names(stage.store) == ["a"]
        await stage.write("b")


# --- the ledger ----------------------------------------------------------------------------------


async def test_a_sent_line_lingers_and_merges_with_its_acknowledgment(autojump_clock):
    async with staged(linger=0.05) as stage:
        stage.note(sent())
        await pass_time(0.04)
        assert stage.store.lines == []
        stage.note(acknowledged(), cursor=DeviceCursor("ada", "phone", 1, 2000))
        await pass_time(0.5)
        assert stage.store.lines == [acknowledged()]
        assert stage.store.cursors == [DeviceCursor("ada", "phone", 1, 2000)]


async def test_a_sent_line_lingers_while_others_are_committed(autojump_clock):
    async with staged(linger=0.05) as stage:
        stage.note(sent())
        for number in range(8):
            await stage.write(str(number))
            stage.note(acknowledged("other", number))
        stage.note(acknowledged())
        await pass_time(0.5)
        assert sent() not in stage.store.lines


async def test_a_sent_line_without_an_acknowledgment_is_written_after_the_linger(autojump_clock):
    async with staged(linger=0.05) as stage:
        noted = trio.current_time()
        stage.note(sent())
        await pass_time(1)
        assert stage.store.lines == [sent()]
        assert stage.store.times == [pytest.approx(noted + 0.05 + stage.store.latency)]


async def test_a_lone_acknowledgment_is_written_at_once(autojump_clock):
    async with staged() as stage:
        noted = trio.current_time()
        stage.note(acknowledged())
        await pass_time(1)
        assert stage.store.times == [pytest.approx(noted + stage.store.latency)]


async def test_acknowledgments_in_number_share_transactions(autojump_clock):
    async with staged(FakeStore(latency=0.001)) as stage:
        for number in range(1000):
            stage.note(acknowledged(str(number)))
            await pass_time(0.001)
        await pass_time(1)
        assert len(stage.store.lines) == 1000
        assert len(stage.store.transactions) <= 1000 * 0.001 / 0.025 + 5


async def test_a_write_does_not_wait_for_the_pause_of_the_ledger(autojump_clock):
    async with staged() as stage:
        stage.note(acknowledged("a"))
        await pass_time(0.004)
        started = trio.current_time()
        await stage.write("b")
        assert trio.current_time() - started == pytest.approx(stage.store.latency)


async def test_an_acknowledgment_survives_the_next_change_being_sent(autojump_clock):
    async with staged() as stage:
        stage.note(acknowledged(sequence=5))
        stage.note(sent(sequence=6))
        await pass_time(1)
        assert stage.store.lines == [acknowledged(sequence=5), sent(sequence=6)]


async def test_the_ledger_goes_before_the_commands(autojump_clock):
    attach = Attach("ada", "phone", None, 0, "a/1")
    async with staged(linger=5) as stage:
        stage.note(acknowledged("a"))
        stage.note(sent("b"))
        await stage.ref.ask(Write(command=attach))
        assert [command for batch in stage.store.transactions for command in batch] == [
            Record((acknowledged("a"),), ()),
            Record((sent("b"),), ()),
            attach,
        ]


async def test_the_end_of_a_session_goes_with_whatever_is_written_next(autojump_clock):
    async with staged(linger=0.05) as stage:
        stage.ledger.note_end(OVER, trio.current_time())
        await pass_time(0.9)
        assert stage.store.transactions == []

        await stage.write("a")
        assert stage.store.transactions == [[Record((), (), (OVER,)), RevokeKey("a", 0)]]


async def test_the_end_of_a_session_is_written_at_last_and_before_the_store_is_closed(
    autojump_clock,
):
    async with staged(linger=0.05) as stage:
        stage.ledger.note_end(OVER, trio.current_time())
        await pass_time(2)
        assert stage.store.records == [Record((), (), (OVER,))]
        await stage.read_deliveries()
        stage.ledger.note_end(OVER, trio.current_time())
    assert stage.store.records == [Record((), (), (OVER,))] * 2


async def test_there_is_no_room_for_the_ends_of_sessions_that_is_not_there_for_lines(
    autojump_clock, monkeypatch
):
    monkeypatch.setattr(ledger, "LINES_MAX", 1)
    async with staged(linger=0.05) as stage:
        stage.note(sent())
        stage.ledger.note_end(OVER, trio.current_time())
        await pass_time(20)
        assert stage.store.records == [Record((sent(),), ())]


async def test_who_reads_deliveries_sees_everything_noted_before(autojump_clock):
    async with staged(linger=5) as stage:
        for number in range(2400):
            stage.note(sent(str(number)))
        started = trio.current_time()
        await stage.read_deliveries()
        assert len(stage.store.lines) == 2400
        assert trio.current_time() - started == pytest.approx(4 * stage.store.latency, abs=0.001)


async def test_who_reads_deliveries_also_waits_for_the_transaction_under_way(autojump_clock):
    async with staged(FakeStore(latency=0.1)) as stage:
        stage.note(acknowledged())
        await settle()
        await pass_time(0.05)
        assert stage.store.lines == []
        await stage.read_deliveries()
        assert stage.store.lines == [acknowledged()]


async def test_who_reads_deliveries_does_not_starve_under_constant_ledger_traffic(
    autojump_clock, nursery
):
    async with staged(FakeStore(latency=0.01)) as stage:

        async def traffic() -> None:
            for number in range(10_000):
                stage.note(acknowledged(str(number)))
                await pass_time(0.0005)

        nursery.start_soon(traffic)
        await pass_time(0.5)
        for _ in range(5):
            with trio.fail_after(0.1):
                await stage.read_deliveries()
        nursery.cancel_scope.cancel()


async def test_a_read_of_deliveries_is_not_waited_for_by_the_other_reads_beside_it(autojump_clock):
    async with staged(FakeStore(latency=0.01), linger=5) as stage:
        stage.note(sent())
        await settle()
        times: dict[type, float] = {}

        async def ask(query) -> None:
            await stage.ref.ask(Read(query=query))
            times[type(query)] = trio.current_time() - started

        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, FindKey("a"))
            nursery.start_soon(ask, ReadDeliveries("n", 10, None))
        assert times[FindKey] == pytest.approx(0.01)


# --- too much ------------------------------------------------------------------------------------


async def tell_until_full(stage: Stage, message: Callable[[int], StorageMessage]) -> int:
    """How many were accepted before the mailbox refused."""
    for number in count():
        await settle()
        try:
            stage.ref.tell(message(number))
        except MailboxFull:
            return number
    raise AssertionError("never full")


@pytest.fixture
def _little_room(monkeypatch):
    monkeypatch.setattr(storage, "_PENDING_MAX", 100)


@pytest.mark.usefixtures("_little_room")
async def test_when_too_much_is_pending_the_mailbox_fills_and_senders_are_refused(autojump_clock):
    async with staged(FakeStore(latency=1), capacity=50) as stage:
        accepted = await tell_until_full(
            stage, lambda number: Write(command=RevokeKey(str(number), 0))
        )
        # The first is in flight, one more is in the hand of the actor that waits for room.
        assert accepted == 1 + 100 + 1 + 50
        await pass_time(10)
        assert len(names(stage.store)) == accepted


@pytest.mark.usefixtures("_little_room")
async def test_too_many_reads_count_as_well(autojump_clock):
    async with staged(FakeStore(latency=1), capacity=50) as stage:
        accepted = await tell_until_full(stage, lambda number: Read(query=FindKey(str(number))))
        await pass_time(10)
        assert sum(map(len, stage.store.reads)) == accepted == 1 + 100 + 1 + 50


async def test_a_flood_of_sent_lines_is_written_before_its_time(autojump_clock, monkeypatch):
    monkeypatch.setattr(ledger, "_CROWD", 100)
    async with staged(linger=5) as stage:
        for number in range(1000):
            stage.note(sent(str(number)))
        await pass_time(0.5)
        assert len(stage.store.lines) == 1000


async def test_when_too_many_lines_wait_further_ones_are_refused(autojump_clock, monkeypatch):
    monkeypatch.setattr(ledger, "LINES_MAX", 100)
    async with staged(FakeStore(latency=1)) as stage:
        await settle()
        now = trio.current_time()
        noted = [stage.ledger.note((sent(str(number)),), None, now) for number in range(150)]
        assert noted == [True] * 100 + [False] * 50
        await pass_time(5)
        assert stage.ledger.note((sent("later"),), None, trio.current_time())
        await pass_time(5)
        assert len(stage.store.lines) == 101


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
    assert len(names(stage.store)) == 1500
    assert sum(map(len, stage.store.reads)) == 1500
    assert stage.store.closed == 1


async def test_stopping_when_idle_is_immediate(autojump_clock):
    async with staged() as stage:
        await pass_time(5.5)
        started = trio.current_time()
    assert trio.current_time() - started <= stage.store.latency * 2
    assert stage.told == [True, False]
