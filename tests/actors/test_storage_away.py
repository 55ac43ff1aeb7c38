"""The storage actor without its store: refusals, looking for it, and stopping meanwhile."""

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.store_kit import Crowd, FakeStore, acknowledged, sent, staged
from tocsin.actors.runtime.errors import ActorStopped
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import Done, NotFound

# --- away ----------------------------------------------------------------------------------------


async def test_before_the_store_is_open_everything_is_refused(autojump_clock):
    async with staged(FakeStore(latency=1), wait=False) as stage:
        await settle()
        for ask in (stage.write, stage.read):
            with pytest.raises(StoreUnavailable):
                await ask("a")
        assert trio.current_time() == 0
        assert stage.told == []


async def test_when_the_store_is_lost_those_who_wait_are_told_after_a_look(autojump_clock, nursery):
    async with staged(FakeStore(latency=1)) as stage:
        crowd = Crowd(nursery, stage)
        await crowd.writes("in flight", "waiting", "waiting too")
        stage.store.away = True
        await pass_time(1.001)
        assert crowd.kinds() == {"in flight": StoreUnavailable}
        await pass_time(1.001)
        assert set(crowd.kinds().values()) == {StoreUnavailable}
        assert len(crowd.answers) == 3
        await crowd.writes("later")
        await crowd.reads("later still")
        assert set(crowd.kinds().values()) == {StoreUnavailable}
        assert len(crowd.answers) == 5


async def test_each_of_those_who_wait_gets_an_exception_of_its_own(autojump_clock, nursery):
    async with staged(FakeStore(latency=1)) as stage:
        crowd = Crowd(nursery, stage)
        stage.store.away = True
        await crowd.writes("a", "b", "c")
        await crowd.reads("d", "e")
        await pass_time(5)
        assert len(set(map(id, crowd.answers.values()))) == 5


async def test_watchers_are_told_once_per_change(autojump_clock):
    async with staged() as stage:
        for _ in range(2):
            stage.store.away = True
            await pass_time(30)
            stage.store.away = False
            await pass_time(30)
        assert stage.told == [True, False, True, False, True]


async def test_ledger_lines_are_kept_and_written_when_the_store_is_back(autojump_clock):
    async with staged() as stage:
        stage.store.away = True
        stage.note(acknowledged("before", 5))
        await pass_time(5)
        stage.note(sent("before", 6), acknowledged("while away"))
        await pass_time(595)
        assert stage.store.lines == []
        stage.store.away = False
        await pass_time(7)
        assert stage.store.lines == [
            acknowledged("before", 5),
            acknowledged("while away"),
            sent("before", 6),
        ]


async def test_it_is_looked_for_at_once_and_then_less_and_less_often(autojump_clock):
    async with staged() as stage:
        await pass_time(1)
        stage.store.away = True
        opened = len(stage.store.opened)
        with pytest.raises(StoreUnavailable):
            await stage.write("a")
        lost = trio.current_time()
        await pass_time(60)
        tries = [at - lost for at in stage.store.opened[opened:]]
        pauses = [after - before for before, after in zip([0, *tries], tries, strict=False)]
        assert pauses == pytest.approx([0, 0.25, 0.5, 1, 2, 4, *[5] * (len(tries) - 6)], abs=0.02)


async def test_it_is_back_within_seconds(autojump_clock):
    async with staged() as stage:
        stage.store.away = True
        await pass_time(600)
        stage.store.away = False
        await pass_time(6.1)
        assert stage.status.available
        assert await stage.write("a") == Done()


async def test_a_loss_in_idle_time_is_noticed(autojump_clock):
    async with staged() as stage:
        await stage.write("a")
        stage.store.away = True
        await pass_time(2.1)
        assert not stage.status.available


async def test_there_is_no_probe_while_transactions_succeed(autojump_clock):
    async with staged() as stage:
        for number in range(100):
            await stage.write(str(number))
            await pass_time(0.1)
        assert len(stage.store.probed) == 1


async def test_a_store_that_is_there_but_cannot_write_is_not_asked_without_end(autojump_clock):
    async with staged() as stage:
        stage.store.writes_fail = True
        stage.note(acknowledged())
        await pass_time(60)
        assert stage.store.attempts <= 20
        stage.store.writes_fail = False
        await pass_time(7)
        assert stage.store.lines == [acknowledged()]


async def test_a_read_that_fails_makes_the_writer_look(autojump_clock):
    async with staged() as stage:
        stage.store.away = True
        with pytest.raises(StoreUnavailable):
            await stage.read("a")
        await pass_time(0.01)
        assert not stage.status.available


async def test_one_broken_read_is_no_loss(autojump_clock):
    async with staged() as stage:
        stage.store.away = True

        async def heal() -> None:
            await pass_time(stage.store.latency * 1.5)
            stage.store.away = False

        async with trio.open_nursery() as nursery:
            nursery.start_soon(heal)
            with pytest.raises(StoreUnavailable):
                await stage.read("a")
        await pass_time(1)
        assert stage.told == [True]
        assert await stage.read("a") == NotFound()


async def test_a_commit_whose_answer_is_lost_is_looked_for(autojump_clock):
    async with staged() as stage:
        looks: list[float] = []
        stage.status.unannounced.append(lambda: looks.append(trio.current_time()))
        stage.store.loses = True
        with pytest.raises(StoreUnavailable):
            await stage.write("a")
        stage.store.loses = False
        await stage.write("b")

        assert (len(looks), stage.told) == (1, [True])


async def test_reading_deliveries_does_not_hang_when_the_store_is_lost(autojump_clock):
    async with staged(linger=5) as stage:
        stage.note(sent())
        stage.store.away = True
        with pytest.raises(StoreUnavailable):
            await stage.read_deliveries()


async def test_when_too_much_is_pending_and_the_store_away_it_does_not_spin(autojump_clock):
    async with staged(pending_max=10) as stage:
        stage.store.away = True
        for number in range(20):
            stage.note(acknowledged(str(number)))
        await pass_time(600)
        assert len(stage.store.opened) < 200
        stage.store.away = False
        await pass_time(10)
        assert len(stage.store.lines) == 20


# --- stopping without the store ------------------------------------------------------------------


async def test_stop_with_the_store_away_ends_after_a_last_attempt(autojump_clock):
    async with staged(grace=10) as stage:
        stage.store.away = True
        stage.note(acknowledged())
        await pass_time(30)
        started = trio.current_time()
    assert trio.current_time() - started <= 2 * stage.store.latency
    assert stage.store.closed == 1


async def test_stop_with_the_store_just_back_writes_the_ledger(autojump_clock):
    async with staged() as stage:
        stage.store.away = True
        stage.note(acknowledged())
        await pass_time(30)
        stage.store.away = False
    assert stage.store.lines == [acknowledged()]


async def test_stop_with_a_store_that_hangs_ends_within_its_grace(autojump_clock, nursery):
    async with staged(grace=3) as stage:
        crowd = Crowd(nursery, stage)
        stage.store.hangs = True
        await crowd.writes("in flight", "waiting")
        await crowd.reads("read in flight", "read waiting")
        started = trio.current_time()
    await settle()
    assert trio.current_time() - started == 3
    assert set(crowd.kinds().values()) == {ActorStopped}
    assert len(crowd.answers) == 4
    assert stage.store.closed == 1


async def test_stop_while_too_much_is_pending_and_the_store_hangs_ends_within_its_grace(
    autojump_clock, nursery
):
    async with staged(grace=3, pending_max=10) as stage:
        crowd = Crowd(nursery, stage)
        stage.store.hangs = True
        await crowd.writes(*(str(number) for number in range(30)))
        started = trio.current_time()
    await settle()
    assert trio.current_time() - started == 3
    assert set(crowd.kinds().values()) == {ActorStopped}
    assert len(crowd.answers) == 30


async def test_a_store_that_does_not_close_is_left(autojump_clock):
    class Stuck(FakeStore):
        async def aclose(self):
            await trio.sleep_forever()

    async with staged(Stuck()):
        started = trio.current_time()
    assert trio.current_time() - started == pytest.approx(5, abs=0.1)
