"""The storage actor in bad times: the store away, commands refused, crashes."""

from typing import cast

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.store_kit import FakeStore, acknowledged, sent, staged
from tocsin.actors.runtime import ActorError, ActorStopped
from tocsin.actors.storage import actor as storage
from tocsin.actors.storage.requests import Read, Write
from tocsin.persistence.store import (
    Done,
    FindKey,
    NotFound,
    Record,
    RevokeKey,
    StoreFailed,
    StoreUnavailable,
)


class Crowd:
    """Many who ask at once, and what each was answered."""

    def __init__(self, nursery, stage):
        self._nursery = nursery
        self._stage = stage
        self.answers = {}

    async def writes(self, *names):
        for name in names:
            await self._start(name, Write(command=RevokeKey(name, 0)))

    async def reads(self, *names):
        for name in names:
            await self._start(name, Read(query=FindKey(name)))

    async def _start(self, name, request):
        self._nursery.start_soon(self._ask, name, request)
        await settle()

    async def _ask(self, name, request):
        try:
            answer = await self._stage.ref.ask(request)
        except (StoreUnavailable, StoreFailed, ActorError) as error:
            answer = error
        self.answers[name] = answer

    def kinds(self):
        return {name: type(answer) for name, answer in self.answers.items()}


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


async def test_reading_deliveries_does_not_hang_when_the_store_is_lost(autojump_clock):
    async with staged(linger=5) as stage:
        stage.note(sent())
        stage.store.away = True
        with pytest.raises(StoreUnavailable):
            await stage.read_deliveries()


async def test_when_too_much_is_pending_and_the_store_away_it_does_not_spin(
    autojump_clock, monkeypatch
):
    monkeypatch.setattr(storage, "_PENDING_MAX", 10)
    async with staged() as stage:
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
    autojump_clock, monkeypatch, nursery
):
    monkeypatch.setattr(storage, "_PENDING_MAX", 10)
    async with staged(grace=3) as stage:
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


# --- poison --------------------------------------------------------------------------------------


def poison(*names):
    def refuses(thing):
        return getattr(thing, "id", getattr(thing, "notification", None)) in names

    return refuses


async def test_poison_alone_is_refused_and_the_others_live(autojump_clock, nursery):
    async with staged(FakeStore(latency=0.01)) as stage:
        stage.store.refuses = poison("7", "300")
        crowd = Crowd(nursery, stage)
        await crowd.writes("first")
        await crowd.writes(*map(str, range(500)))
        await pass_time(5)
        failed = {name for name, kind in crowd.kinds().items() if kind is StoreFailed}
        assert failed == {"7", "300"}
        assert len(crowd.answers) == 501
        written = [cast("RevokeKey", command).id for command in stage.store.commands]
        assert written == ["first", *(str(n) for n in range(500) if n not in (7, 300))]
        assert stage.store.attempts <= 50
        assert stage.told == [True]


async def test_a_poison_query_alone_is_refused(autojump_clock, nursery):
    async with staged(FakeStore(latency=0.01)) as stage:
        stage.store.refuses = poison("7")
        crowd = Crowd(nursery, stage)
        await crowd.reads("first", *map(str, range(100)))
        await pass_time(5)
        failed = {name for name, kind in crowd.kinds().items() if kind is StoreFailed}
        assert failed == {"7"}
        assert len(crowd.answers) == 101


async def test_poison_in_the_ledger_does_not_stop_the_commands_nor_the_other_lines(autojump_clock):
    async with staged(FakeStore(latency=0.01)) as stage:
        stage.store.refuses = poison("poison")
        for number in range(300):
            stage.note(acknowledged(str(number)))
        stage.note(acknowledged("poison"))
        await stage.write("a")
        await pass_time(5)
        assert {line.notification for line in stage.store.lines} == set(map(str, range(300)))
        assert stage.store.attempts <= 40
        assert stage.status.available


async def test_a_ledger_that_is_nothing_but_poison_does_not_loop(autojump_clock):
    async with staged() as stage:
        stage.store.refuses = lambda thing: True
        stage.note(acknowledged("a"), acknowledged("b"), sent("c"))
        await pass_time(60)
        # All, then the halves, down to the three.
        assert stage.store.attempts <= 2 * 3


async def test_the_store_lost_while_poison_is_looked_for(autojump_clock, nursery):
    async with staged(FakeStore(latency=1)) as stage:
        stage.store.refuses = poison("7")
        crowd = Crowd(nursery, stage)
        await crowd.writes("first")
        stage.note(acknowledged(sequence=5))
        stage.note(sent(sequence=6))
        await crowd.writes(*map(str, range(20)))
        await pass_time(4.5)
        stage.store.away = True
        lost = stage.store.attempts
        await pass_time(1)
        assert set(crowd.kinds().values()) >= {StoreUnavailable}
        assert len(crowd.answers) == 21
        assert stage.store.attempts == lost
        stage.store.away = False
        await pass_time(20)
        assert stage.store.lines == [acknowledged(sequence=5), sent(sequence=6)]


# --- crashes -------------------------------------------------------------------------------------


async def test_when_the_actor_crashes_everybody_is_answered_and_it_starts_anew(
    autojump_clock, nursery
):
    async with staged(FakeStore(latency=1)) as stage:
        crowd = Crowd(nursery, stage)
        await crowd.writes("in flight", "waiting")
        await crowd.reads("read in flight", "read waiting")
        stage.store.crashes = True
        await pass_time(1.05)
        stage.store.crashes = False
        assert set(crowd.kinds().values()) == {ActorStopped}
        assert len(crowd.answers) == 4
        await pass_time(5)
        assert await stage.write("a") == Done()
        assert stage.told == [True, False, True]


async def test_a_store_that_answers_too_little_is_a_crash_and_nobody_hangs(autojump_clock, nursery):
    class Forgetful(FakeStore):
        async def write(self, commands, **options):
            return (await super().write(commands, **options))[1:]

        async def read(self, queries):
            return (await super().read(queries))[1:]

    async with staged(Forgetful()) as stage:
        crowd = Crowd(nursery, stage)
        await crowd.writes("a")
        await pass_time(1)
        await crowd.reads("b")
        await pass_time(1)
        assert crowd.kinds() == {"a": ActorStopped, "b": ActorStopped}


async def test_a_request_behind_what_a_full_actor_holds_is_answered_after_a_crash(
    autojump_clock, monkeypatch, nursery
):
    monkeypatch.setattr(storage, "_PENDING_MAX", 5)
    async with staged(FakeStore(latency=1)) as stage:
        crowd = Crowd(nursery, stage)
        await crowd.writes(*(str(number) for number in range(20)))
        stage.store.crashes = True
        await pass_time(1.05)
        stage.store.crashes = False
        await pass_time(30)
        assert len(crowd.answers) == 20


async def test_noting_nothing_does_no_harm(autojump_clock):
    async with staged() as stage:
        stage.note()
        await pass_time(1)
        assert not any(isinstance(command, Record) for command in stage.store.commands)
