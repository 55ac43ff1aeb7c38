"""Commands, queries and lines that the store always refuses: they alone fail."""

from typing import cast

from tests.actors.clock_kit import pass_time
from tests.actors.store_kit import Crowd, FakeStore, acknowledged, sent, staged
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.key_commands import RevokeKey


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
