"""Stopping finishes what is queued; cancelling abandons it; retiring is for the idle."""

from functools import partial
from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.runtime.actor_kit import Add, Adder, Deaf, Fail, Slow, Total, supervised
from tocsin.actors.runtime.errors import ActorStopped
from tocsin.actors.runtime.supervisor import Actor, Context, open_supervisor


class Noting(Actor[Any]):
    """Notes its name when it has ended."""

    def __init__(self, name: str, ended: list[str]) -> None:
        self._name = name
        self._ended = ended

    async def run(self, context: Context[Any]) -> None:
        await super().run(context)
        self._ended.append(self._name)


async def test_a_stopped_actor_finishes_what_is_queued(autojump_clock):
    done: list[Any] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        slow = supervisor.spawn("slow", lambda: Slow(done))
        for number in range(3):
            slow.tell(number)
        await supervisor.stop(10)
        assert trio.current_time() == 3
    assert done == [0, 1, 2]


async def test_work_that_is_not_finished_within_the_grace_is_cancelled(autojump_clock):
    done: list[Any] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        slow = supervisor.spawn("slow", lambda: Slow(done))
        for number in range(10):
            slow.tell(number)
        await supervisor.stop(3.5)
        assert trio.current_time() == 3.5
    assert done == [0, 1, 2]


async def test_a_stopping_actor_accepts_nothing_more(autojump_clock, nursery):
    async with open_supervisor("", lambda: 0.0) as supervisor:
        slow = supervisor.spawn("slow", lambda: Slow([]))
        slow.tell(1)
        nursery.start_soon(supervisor.stop, 10)
        await settle()
        with pytest.raises(ActorStopped):
            slow.tell(2)


async def test_children_without_scopes_stop_together_and_are_cancelled_with_the_block(
    autojump_clock,
):
    done: list[int] = []
    async with open_supervisor("", lambda: 0.0, together=True) as supervisor:
        for number in range(2):
            slow = supervisor.spawn(str(number), lambda: Slow(done))
            slow.tell(number)
            slow.tell(number + 10)
        await supervisor.stop_together(1.5)
        assert supervisor.names() == []

    assert trio.current_time() == 1.5
    assert sorted(done) == [0, 1]


async def test_children_stop_newest_first_and_one_by_one(autojump_clock):
    ended: list[str] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        for name in ("first", "second", "third"):
            supervisor.spawn(name, partial(Noting, name, ended))
        await settle()
        await supervisor.stop(1)
    assert ended == ["third", "second", "first"]


async def test_an_older_child_serves_a_newer_one_until_that_has_stopped(autojump_clock):
    totals = []

    class Dependent(Actor[Any]):
        def __init__(self, adder: Any) -> None:
            self._adder = adder

        async def run(self, context: Context[Any]) -> None:
            await super().run(context)
            await pass_time(1)
            totals.append(await self._adder.ask(Total()))

    async with open_supervisor("", lambda: 0.0) as supervisor:
        adder = supervisor.spawn("adder", Adder)
        supervisor.spawn("dependent", lambda: Dependent(adder))
        adder.tell(Add(4))
        await supervisor.stop(5)
    assert totals == [4]


async def test_stopped_together_they_share_the_grace(autojump_clock):
    async with open_supervisor("", lambda: 0.0) as supervisor:
        for number in range(5):
            supervisor.spawn(str(number), Deaf)
        await supervisor.stop_together(3)
        assert trio.current_time() == 3
        assert len(supervisor) == 0


async def test_one_child_can_be_stopped_alone(autojump_clock):
    async with supervised() as supervisor:
        supervisor.spawn("deaf", Deaf)
        adder = supervisor.spawn("adder", Adder)
        await supervisor.stop_child("deaf", 1)
        await supervisor.stop_child("never heard of", 1)

        assert supervisor.names() == ["adder"]
        assert await adder.ask(Total()) == 0
        supervisor.spawn("deaf", Adder)


async def test_stop_during_a_restart_pause_still_finishes_the_queue(autojump_clock):
    async with open_supervisor("", lambda: 0.0) as supervisor:
        adder = supervisor.spawn("adder", Adder)
        adder.tell(Fail())
        total = Total()
        adder.tell(Add(1))
        adder.tell(total)
        await settle()
        await supervisor.stop(5)

        assert await total.reply.wait() == 1
        assert trio.current_time() == pytest.approx(0.1)


async def test_a_restart_pause_ends_with_the_grace(autojump_clock):
    async with open_supervisor("", lambda: 0.0) as supervisor:
        adder = supervisor.spawn("adder", Adder)
        for _ in range(4):
            adder.tell(Fail())
        await pass_time(0.4)
        await supervisor.stop(0.2)
        assert trio.current_time() == pytest.approx(0.6)


async def test_an_actor_stopped_before_it_ran_still_reads_its_mailbox(autojump_clock):
    done: list[Any] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        supervisor.spawn("slow", lambda: Slow(done)).tell(1)
        await supervisor.stop(5)
    assert done == [1]


async def test_a_stopping_supervisor_starts_nobody(autojump_clock):
    async with open_supervisor("", lambda: 0.0) as supervisor:
        await supervisor.stop(1)
        with pytest.raises(ActorStopped):
            supervisor.spawn("late", Adder)
    async with open_supervisor("", lambda: 0.0) as supervisor:
        await supervisor.stop_together(1)
        with pytest.raises(ActorStopped):
            supervisor.spawn("late", Adder)
    assert trio.current_time() == 0


async def test_stopping_twice_does_not_extend_the_grace(autojump_clock, nursery):
    async with open_supervisor("", lambda: 0.0) as supervisor:
        supervisor.spawn("deaf", Deaf)
        nursery.start_soon(supervisor.stop, 1)
        await settle()
        await supervisor.stop(100)
        assert trio.current_time() == 1


async def test_a_spawn_that_fails_leaves_nothing_behind():
    async with open_supervisor("", lambda: 0.0) as supervisor:
        pass
    with pytest.raises(RuntimeError):
        supervisor.spawn("late", Adder)
    assert supervisor.find("late") is None


# --- retiring ------------------------------------------------------------------------------------


class Retiring(Actor[Any]):
    """Retires at every message, which may come to nothing."""

    def __init__(self, supervisor: Any, name: str, done: list[Any]) -> None:
        self._supervisor = supervisor
        self._name = name
        self._done = done

    async def receive(self, message: Any) -> None:
        self._done.append(message)
        self._supervisor.retire(self._name)


async def test_an_idle_child_retires_and_its_name_is_free_at_once():
    async with supervised() as supervisor:
        first = supervisor.spawn("adder", Adder)
        await settle()
        supervisor.retire("adder")
        second = supervisor.spawn("adder", Adder)

        assert supervisor.find("adder") is second
        with pytest.raises(ActorStopped):
            first.tell(Add(1))
        await first.wait_stopped()
        assert supervisor.find("adder") is second
        assert await second.ask(Total()) == 0


async def test_a_child_with_messages_waiting_is_left_alone():
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)
        adder.tell(Add(1))
        supervisor.retire("adder")

        assert await adder.ask(Total()) == 1


async def test_a_message_that_races_with_retirement_is_handled_or_refused():
    done: list[Any] = []
    async with supervised() as supervisor:
        name = "retiring"
        for number in range(100):
            ref = supervisor.find(name)
            if ref is None:
                ref = supervisor.spawn(name, lambda: Retiring(supervisor, "retiring", done))
            ref.tell(number)
            if number % 3:
                await settle()
        await settle()
        assert done == list(range(100))
        assert supervisor.find(name) is None


async def test_retiring_somebody_who_has_gone_is_no_harm():
    async with supervised() as supervisor:
        supervisor.retire("never heard of")


async def test_a_retired_child_that_takes_its_time_does_not_remove_its_successor(autojump_clock):
    class Lingering(Actor[Any]):
        async def run(self, context: Context[Any]) -> None:
            await super().run(context)
            await pass_time(5)

    async with supervised() as supervisor:
        first = supervisor.spawn("name", Lingering)
        await settle()
        supervisor.retire("name")
        second = supervisor.spawn("name", Adder)
        await first.wait_stopped()

        assert supervisor.find("name") is second
        assert trio.current_time() == 5


async def test_a_stopping_child_can_retire(autojump_clock):
    done: list[Any] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        ref = supervisor.spawn("retiring", lambda: Retiring(supervisor, "retiring", done))
        ref.tell(1)
        await supervisor.stop_together(5)
        assert ref.stopped
    assert done == [1]
