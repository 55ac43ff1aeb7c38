"""Crashes of the storage actor: every request is answered, and the next one starts anew."""

from tests.actors.clock_kit import pass_time
from tests.actors.store_kit import Crowd, FakeStore, staged
from tocsin.actors.runtime.errors import ActorStopped
from tocsin.persistence.store.commands import Done


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
    autojump_clock, nursery
):
    async with staged(FakeStore(latency=1), pending_max=5) as stage:
        crowd = Crowd(nursery, stage)
        await crowd.writes(*(str(number) for number in range(20)))
        stage.store.crashes = True
        await pass_time(1.05)
        stage.store.crashes = False
        await pass_time(30)
        assert len(crowd.answers) == 20
