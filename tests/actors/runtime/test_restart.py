"""An actor that fails is restarted, within its supervisor's budget, or ended."""

import itertools
from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.runtime.actor_kit import (
    Add,
    Adder,
    Boom,
    Broken,
    Deaf,
    Fail,
    Slow,
    Total,
    supervised,
)
from tocsin.actors.runtime.errors import ActorStopped, RestartLimitExceeded
from tocsin.actors.runtime.restart import FATAL, PARKED, TEMPORARY, RestartHistory, RestartPolicy
from tocsin.actors.runtime.supervisor import Actor, Context, open_supervisor


async def test_a_restart_forgets_the_state_and_keeps_the_mailbox(autojump_clock):
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)
        adder.tell(Add(1))
        adder.tell(Fail())
        adder.tell(Add(5))

        assert await adder.ask(Total()) == 5
        assert trio.current_time() == pytest.approx(0.1)


async def test_restarts_are_further_apart_each_time(autojump_clock):
    starts: list[float] = []
    with pytest.RaisesGroup(RestartLimitExceeded):
        async with open_supervisor("", lambda: 0.0) as supervisor:
            supervisor.spawn("broken", lambda: Broken(starts), policy=RestartPolicy(limit=4))

    assert starts == pytest.approx([0, 0.1, 0.3, 0.7, 1.5])


async def test_restarts_are_spread_by_jitter(autojump_clock):
    starts: list[float] = []
    with pytest.RaisesGroup(RestartLimitExceeded):
        async with open_supervisor("", lambda: 0.4) as supervisor:
            supervisor.spawn("broken", lambda: Broken(starts), policy=RestartPolicy(limit=2))

    assert starts == pytest.approx([0, 0.11, 0.33])


async def test_a_failure_counts_only_within_the_window(autojump_clock):
    async with supervised() as supervisor:
        policy = RestartPolicy(limit=1, window=10)
        adder = supervisor.spawn("adder", Adder, policy=policy)
        for _ in range(5):
            adder.tell(Fail())
            await pass_time(11)

        assert await adder.ask(Total()) == 0


async def test_too_many_failures_are_the_supervisors_failure(autojump_clock):
    with pytest.RaisesGroup(RestartLimitExceeded) as caught:
        async with open_supervisor("", lambda: 0.0) as supervisor:
            adder = supervisor.spawn("adder", Adder, policy=RestartPolicy(limit=2))
            other = supervisor.spawn("other", Adder)
            for _ in range(3):
                adder.tell(Fail())
            await trio.sleep_forever()

    assert isinstance(caught.value.exceptions[0].__cause__, Boom)
    assert adder.stopped
    assert other.stopped
    with pytest.raises(ActorStopped):
        adder.tell(Add(1))


async def test_a_temporary_actor_fails_alone(autojump_clock):
    async with supervised() as supervisor:
        temporary = supervisor.spawn("temporary", Adder, policy=TEMPORARY)
        other = supervisor.spawn("other", Adder)
        temporary.tell(Fail())
        await temporary.wait_stopped()

        assert await other.ask(Total()) == 0
        assert supervisor.names() == ["other"]


async def test_a_parked_actor_is_tried_for_ever_a_minute_apart_and_ends_nobody(autojump_clock):
    tries = []

    def factory() -> Adder:
        tries.append(trio.current_time())
        raise OSError("nothing to make it of")

    async with supervised() as supervisor:
        supervisor.spawn("parked", factory, policy=PARKED)
        other = supervisor.spawn("other", Adder)
        await pass_time(2 * 3600)
        assert await other.ask(Total()) == 0
        [parked, _] = supervisor.snapshot(10)
        assert (parked.restarts, parked.last_error) == (
            len(tries) - 1,
            "OSError('nothing to make it of')",
        )
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses[:3] == pytest.approx([0.5, 1.0, 2.0])
    assert max(pauses) <= 60.0
    assert pauses[-1] == pytest.approx(60.0)


async def test_an_actor_that_cannot_be_made_has_failed_like_any_other(autojump_clock):
    tries = []

    def factory() -> Adder:
        tries.append(trio.current_time())
        raise OSError("nothing to make it of")

    with pytest.RaisesGroup(RestartLimitExceeded):
        async with open_supervisor("", lambda: 0.0) as supervisor:
            supervisor.spawn("unmade", factory, policy=RestartPolicy(limit=3))
    assert tries == pytest.approx([0, 0.1, 0.3, 0.7])


async def test_an_exception_group_of_a_nursery_inside_is_a_failure(autojump_clock):
    runs = []

    class Two(Actor[Any]):
        async def run(self, context: Context[Any]) -> None:
            runs.append(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await pass_time(1)
                raise Boom

    with pytest.RaisesGroup(RestartLimitExceeded):
        async with open_supervisor("", lambda: 0.0) as supervisor:
            supervisor.spawn("two", Two, policy=RestartPolicy(limit=1))
    assert len(runs) == 2


async def test_a_group_is_restarted_whole_by_nesting(autojump_clock):
    starts = []

    class Group(Actor[Any]):
        async def run(self, context: Context[Any]) -> None:
            starts.append(trio.current_time())
            async with context.open_supervisor(lambda: 0.0) as children:
                self._member = children.spawn("member", Adder, policy=FATAL)
                children.spawn("other", Deaf, policy=FATAL)
                await super().run(context)
                await children.stop(1)

        async def receive(self, message: Any) -> None:
            self._member.tell(message)

    async with supervised() as supervisor:
        group = supervisor.spawn("group", Group)
        group.tell(Add(1))
        group.tell(Fail())
        await pass_time(1)
        group.tell(Total())
        assert starts == pytest.approx([0, 0.1])
        [snapshot] = supervisor.snapshot(10)
        assert snapshot.restarts == 1
        assert {child.path for child in snapshot.children} == {"/group/member", "/group/other"}
        assert all(child.restarts == 0 for child in snapshot.children)


# --- failing and being cancelled -----------------------------------------------------------------


async def test_cancellation_is_not_a_failure(autojump_clock):
    with trio.move_on_after(1) as scope:
        async with open_supervisor("", lambda: 0.0) as supervisor:
            adder = supervisor.spawn("adder", Adder)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert adder.stopped


class FailsOnTheWayOut(Actor[Any]):
    def __init__(self, runs: list[int]) -> None:
        self._runs = runs

    async def run(self, context: Context[Any]) -> None:
        self._runs.append(1)
        try:
            await trio.sleep_forever()
        finally:
            raise Boom


class FailsInAGroupOnTheWayOut(Actor[Any]):
    """One of its tasks is cancelled as it should be, another fails."""

    def __init__(self, runs: list[int]) -> None:
        self._runs = runs

    async def run(self, context: Context[Any]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await FailsOnTheWayOut(self._runs).run(context)


@pytest.mark.parametrize("kind", [FailsOnTheWayOut, FailsInAGroupOnTheWayOut])
async def test_failing_while_cancelled_is_neither_restarted_nor_passed_on(autojump_clock, kind):
    runs: list[int] = []
    with trio.move_on_after(1) as scope:
        async with open_supervisor("", lambda: 0.0) as supervisor:
            supervisor.spawn("actor", lambda: kind(runs))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert runs == [1]


@pytest.mark.parametrize("kind", [FailsOnTheWayOut, FailsInAGroupOnTheWayOut])
async def test_failing_when_the_grace_is_over_harms_no_sibling(autojump_clock, kind):
    runs: list[int] = []
    async with supervised() as supervisor:
        sibling = supervisor.spawn("sibling", Adder)
        supervisor.spawn("actor", lambda: kind(runs), policy=TEMPORARY)
        await supervisor.stop_child("actor", 1)

        assert await sibling.ask(Total()) == 0
    assert runs == [1]


async def test_being_cancelled_with_a_nursery_is_no_failure(autojump_clock, caplog, capsys):
    class Two(Actor[Any]):
        async def run(self, context: Context[Any]) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await trio.sleep_forever()

    async with supervised() as supervisor:
        supervisor.spawn("two", Two)
        await supervisor.stop(1)
    assert "failed" not in caplog.text + capsys.readouterr().out


async def test_an_actor_that_keeps_failing_while_it_stops_harms_nobody(autojump_clock):
    done: list[Any] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        slow = supervisor.spawn("slow", lambda: Slow(done))
        failing = supervisor.spawn("failing", Adder, policy=RestartPolicy(limit=1))
        for _ in range(5):
            failing.tell(Fail())
        slow.tell(1)
        await supervisor.stop(10)
    assert failing.stopped
    assert done == [1]


async def test_a_failed_incarnation_is_not_kept_in_memory(autojump_clock):
    alive: list[int] = []

    class Counted(Adder):
        def __init__(self) -> None:
            super().__init__()
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    async with supervised() as supervisor:
        counted = supervisor.spawn("counted", Counted)
        counted.tell("nonsense")
        await pass_time(1)
        assert len(alive) == 1
        assert next(supervisor.snapshot(1)).last_error == "Boom()"


# --- the arithmetic ------------------------------------------------------------------------------


def test_delays_grow_up_to_a_limit():
    history = RestartHistory(RestartPolicy(limit=6, delay_initial=1, delay_max=5))

    assert [history.next_delay(0, 0) for _ in range(7)] == [1, 2, 4, 5, 5, 5, None]


def test_a_policy_without_a_real_limit_does_not_overflow():
    history = RestartHistory(RestartPolicy(limit=2000))

    assert [history.next_delay(0, 0) for _ in range(2000)][-1] == 10


def test_old_failures_are_forgotten():
    history = RestartHistory(RestartPolicy(limit=1, window=60))

    assert history.next_delay(0, 0) == pytest.approx(0.1)
    assert history.next_delay(59, 0) is None
    assert history.next_delay(60, 0) == pytest.approx(0.1)


async def test_a_restarted_actor_starts_when_the_others_have_settled(autojump_clock):
    starts: list[float] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        policy = RestartPolicy(limit=1, escalates=False)
        broken = supervisor.spawn("broken", lambda: Broken(starts), policy=policy)
        await settle()
        assert starts == [0]
        await broken.wait_stopped()
    assert starts == pytest.approx([0, 0.1])
