"""The ledger in the storage actor: which lines wait, which go at once, and what reads them."""

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.store_kit import FakeStore, acknowledged, sent, staged
from tocsin.actors.storage.requests import Read, Write
from tocsin.persistence.store.key_commands import RevokeKey
from tocsin.persistence.store.queries import FindKey, ReadDeliveries
from tocsin.persistence.store.user_commands import Attach, Record
from tocsin.protocol.log.ledger import DeviceCursor, SessionEnd

OVER = SessionEnd("ada", "phone", "a/1")


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
    autojump_clock,
):
    async with staged(linger=0.05, lines_max=1) as stage:
        stage.note(sent())
        stage.ledger.note_end(OVER, trio.current_time())
        await pass_time(20)
        assert stage.store.records == [Record((sent(),), ())]


async def test_a_reader_of_deliveries_sees_everything_noted_before(autojump_clock):
    async with staged(linger=5) as stage:
        for number in range(2400):
            stage.note(sent(str(number)))
        started = trio.current_time()
        await stage.read_deliveries()
        assert len(stage.store.lines) == 2400
        assert trio.current_time() - started == pytest.approx(4 * stage.store.latency, abs=0.001)


async def test_a_reader_of_deliveries_also_waits_for_the_transaction_under_way(autojump_clock):
    async with staged(FakeStore(latency=0.1)) as stage:
        stage.note(acknowledged())
        await settle()
        await pass_time(0.05)
        assert stage.store.lines == []
        await stage.read_deliveries()
        assert stage.store.lines == [acknowledged()]


async def test_a_reader_of_deliveries_does_not_starve_under_constant_ledger_traffic(
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


async def test_noting_nothing_does_no_harm(autojump_clock):
    async with staged() as stage:
        stage.note()
        await pass_time(1)
        assert not any(isinstance(command, Record) for command in stage.store.commands)
