"""Actors that never wait: handled in their senders' turns, under rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.runtime.actor_kit import Add, Boom, Fail, Total, supervised
from tocsin.actors.runtime.alarms import alarm_clock
from tocsin.actors.runtime.errors import ActorCrashed, ActorStopped, MailboxFull
from tocsin.actors.runtime.prompt import DEPTH_MAX, PER_TURN_MAX, PromptActor
from tocsin.actors.runtime.ref import PipedReply, Ref
from tocsin.actors.runtime.supervisor import open_supervisor


class Adder(PromptActor[Any]):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total = 0
        self.ends: list[bool] = []
        self.lost: list[Any] = []

    def receive(self, message: Any) -> None:
        match message:
            case Add(number=number):
                self.total += number
            case Total(reply=reply):
                reply.set(self.total)
            case _:
                raise Boom

    def dropped(self, message: Any) -> None:
        self.lost.append(message)

    def ended(self, *, failed: bool) -> None:
        self.ends.append(failed)


class Calls(PromptActor[Callable[[], None]]):
    """Does what it is told."""

    def __init__(self) -> None:
        self.deadline = math.inf
        self.checked: list[float] = []
        self.fails = False

    def receive(self, message: Callable[[], None]) -> None:
        message()

    def next_deadline(self) -> float:
        return self.deadline

    def on_deadline(self, now: float) -> None:
        self.checked.append(now)
        self.deadline = math.inf
        if self.fails:
            raise Boom


def same(actor: Adder) -> Adder:
    return actor


async def test_a_message_to_one_that_is_idle_is_handled_before_tell_returns():
    async with supervised() as tree:
        adder = Adder()
        ref = tree.spawn_prompt("adder", lambda: adder)
        ref.tell(Add(1))
        await ref.send(Add(2))

        assert adder.total == 3
        assert await ref.ask(Total()) == 3


async def test_a_message_to_itself_is_handled_after_the_one_in_hand():
    done: list[str] = []
    async with supervised() as tree:
        ref = tree.spawn_prompt("calls", Calls)

        def first() -> None:
            ref.tell(lambda: done.append("second"))
            done.append("first")

        ref.tell(first)
        assert done == ["first"]
        # Behind what is queued, although nothing is in hand.
        ref.tell(lambda: done.append("third"))
        assert done == ["first"]
        await settle()
        assert done == ["first", "second", "third"]


async def test_two_that_answer_each_other_for_ever_let_others_run():
    async with supervised() as tree:
        one, two = tree.spawn_prompt("1", Calls), tree.spawn_prompt("2", Calls)
        count = 0

        def again(other: Ref[Any], this: Ref[Any]) -> Callable[[], None]:
            def call() -> None:
                nonlocal count
                count += 1
                if count < 10_000:
                    other.tell(again(this, other))

            return call

        one.tell(again(two, one))
        assert count < 10
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert count < 10_000
        await settle()
        assert count == 10_000


async def test_a_chain_of_actors_is_no_deeper_than_its_limit():
    depth = deepest = 0
    async with supervised() as tree:
        refs = [tree.spawn_prompt(str(number), Calls) for number in range(3 * DEPTH_MAX)]

        def call(number: int) -> Callable[[], None]:
            def work() -> None:
                nonlocal depth, deepest
                depth += 1
                deepest = max(deepest, depth)
                if number + 1 < len(refs):
                    refs[number + 1].tell(call(number + 1))
                else:
                    reached.set()
                depth -= 1

            return work

        reached = trio.Event()
        refs[0].tell(call(0))
        assert not reached.is_set()
        await reached.wait()
    assert 1 < deepest <= DEPTH_MAX + 1


async def test_a_sender_to_thousands_has_only_a_budget_of_them_handled_in_one_turn():
    async with supervised() as tree:
        adders = [Adder() for _ in range(PER_TURN_MAX + 10)]
        refs = [tree.spawn_prompt(str(number), partial(same, a)) for number, a in enumerate(adders)]
        for ref in refs:
            ref.tell(Add(1))

        assert sum(adder.total for adder in adders) == PER_TURN_MAX
        await settle()
        assert sum(adder.total for adder in adders) == PER_TURN_MAX + 10
        for ref in refs[:10]:
            ref.tell(Add(1))
        assert sum(adder.total for adder in adders) == PER_TURN_MAX + 20


async def test_every_turn_of_the_loop_has_a_budget_of_its_own():
    async with supervised() as tree:
        adder = Adder()
        ref = tree.spawn_prompt("adder", lambda: adder)
        for turn in range(1, 4):
            for _ in range(PER_TURN_MAX):
                ref.tell(Add(1))
            assert adder.total == turn * PER_TURN_MAX
            await trio.lowlevel.checkpoint()


async def test_a_mailbox_in_which_messages_wait_is_bounded():
    async with supervised() as tree:
        ref = tree.spawn_prompt("calls", Calls, capacity=2)
        refused: list[type[Exception]] = []

        def crowd() -> None:
            for _ in range(3):
                try:
                    ref.tell(lambda: None)
                except MailboxFull:
                    refused.append(MailboxFull)
            ref.tell_beyond(lambda: None)
            assert len(tree.snapshot(1).__next__().children) == 0

        ref.tell(crowd)
        assert refused == [MailboxFull]
        [shot] = tree.snapshot(10)
        assert (shot.path, shot.waiting, shot.capacity) == ("/calls", 3, 2)


# --- Failures ------------------------------------------------------------------------------------


async def test_an_error_of_an_actor_ends_it_and_does_not_reach_the_sender():
    async with supervised() as tree:
        adder = Adder()
        ref = tree.spawn_prompt("adder", lambda: adder)
        ref.tell("nonsense")

        assert (adder.ends, adder.lost) == ([True], ["nonsense"])
        assert ref.stopped
        assert tree.find("adder") is None
        with pytest.raises(ActorStopped):
            ref.tell(Add(1))
        await ref.wait_stopped()
        tree.spawn_prompt("adder", Adder)


async def test_the_asker_is_told_that_the_actor_failed_and_later_ones_that_it_has_gone():
    async with supervised() as tree:
        ref: Ref[Any] = tree.spawn_prompt("calls", Calls)
        causes: list[object] = []
        queued = Total()

        def fail() -> None:
            ref.tell(queued)
            raise Boom

        ref.tell(fail)
        with pytest.raises(ActorStopped):
            await queued.reply.wait()
        adder = tree.spawn_prompt("adder", Adder)
        try:
            await adder.ask(Fail())
        except ActorCrashed as error:
            causes.append(type(error.__cause__))
        assert causes == [Boom]


async def test_an_asker_that_hears_of_a_failure_does_not_find_the_actor_idle():
    refused: list[type[Exception]] = []
    async with supervised() as tree:
        adder = Adder()
        ref: Ref[Any] = tree.spawn_prompt("adder", lambda: adder)

        def tell_again(_: object) -> None:
            try:
                ref.tell(Add(1))
            except ActorStopped:
                refused.append(ActorStopped)

        ref.tell(Fail(reply=PipedReply(tell_again)))
        assert (adder.total, refused) == (0, [ActorStopped])


async def test_one_that_cannot_be_made_leaves_its_name_free():
    def broken() -> PromptActor[Any]:
        raise Boom

    async with supervised() as tree:
        with pytest.raises(Boom):
            tree.spawn_prompt("adder", broken)
        assert len(tree) == 0
        tree.spawn_prompt("adder", Adder)
        with pytest.raises(ValueError, match="already running"):
            tree.spawn_prompt("adder", Adder)


# --- Time ----------------------------------------------------------------------------------------


async def test_a_deadline_is_kept_and_so_is_an_earlier_one(autojump_clock):
    async with supervised() as tree:
        actor = Calls()
        ref = tree.spawn_prompt("calls", lambda: actor)

        def by(deadline: float) -> Callable[[], None]:
            return lambda: setattr(actor, "deadline", deadline)

        ref.tell(by(5.0))
        ref.tell(by(2.0))
        await pass_time(3)
        assert actor.checked == [2.0]
        ref.tell(by(4.0))
        ref.tell(by(7.0))
        await pass_time(9)
        assert actor.checked == [2.0, 7.0]


async def test_one_that_fails_at_its_deadline_ends(autojump_clock):
    async with supervised() as tree:
        actor = Calls()
        actor.fails = True
        ref = tree.spawn_prompt("calls", lambda: actor)
        ref.tell(lambda: setattr(actor, "deadline", 1.0))
        await pass_time(2)
        assert (actor.checked, ref.stopped) == ([1.0], True)


async def test_a_deadline_of_one_that_has_ended_is_nobodys(autojump_clock):
    async with supervised() as tree:
        actor = Calls()
        ref = tree.spawn_prompt("calls", lambda: actor)
        ref.tell(lambda: setattr(actor, "deadline", 1.0))
        tree.retire("calls")
        await pass_time(2)
        assert (actor.checked, ref.stopped) == ([], True)


async def test_an_actor_that_ends_as_its_deadline_comes_is_not_called_any_more(autojump_clock):
    async with supervised() as tree:
        actor = Calls()
        ref = tree.spawn_prompt("calls", lambda: actor)
        ref.tell(lambda: setattr(actor, "deadline", 1.0))
        # Rings behind the actor's alarm, and before the attendant has run for that.
        alarm_clock().set(1.0, lambda: tree.retire("calls"))
        await pass_time(2)
        assert (actor.checked, ref.stopped) == ([], True)


# --- The end -------------------------------------------------------------------------------------


async def test_one_that_retires_in_its_turn_ends_behind_it():
    async with supervised() as tree:
        adder = Adder()
        ref = tree.spawn_prompt("adder", lambda: adder)
        calls = tree.spawn_prompt("calls", Calls)
        calls.tell(lambda: tree.retire("calls"))
        assert (calls.stopped, tree.names()) == (True, ["adder"])
        tree.retire("adder")
        assert (adder.ends, ref.stopped, len(tree)) == ([False], True, 0)


async def test_one_with_messages_waiting_is_left_alone():
    async with supervised() as tree:
        ref = tree.spawn_prompt("calls", Calls)

        def retire() -> None:
            ref.tell(lambda: None)
            tree.retire("calls")

        ref.tell(retire)
        assert tree.find("calls") is ref


async def test_one_that_is_stopped_handles_what_is_queued():
    done: list[int] = []
    async with open_supervisor("", lambda: 0.0) as tree:
        ref = tree.spawn_prompt("calls", Calls)

        def crowd() -> None:
            for number in range(3):
                ref.tell(partial(done.append, number))

        ref.tell(crowd)
        await tree.stop(1)
        assert (done, ref.stopped) == ([0, 1, 2], True)
        with pytest.raises(ActorStopped):
            tree.spawn_prompt("late", Calls)


async def test_a_block_that_is_cancelled_ends_those_who_have_no_task():
    adder = Adder()
    with trio.CancelScope() as everything:
        async with open_supervisor("", lambda: 0.0) as tree:
            ref = tree.spawn_prompt("adder", lambda: adder)
            everything.cancel()
            await trio.sleep_forever()
    assert (adder.ends, ref.stopped) == ([False], True)


async def test_a_block_that_is_left_waits_for_those_who_have_no_task(autojump_clock, nursery):
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn_prompt("adder", Adder)

        async def retire() -> None:
            await pass_time(3)
            tree.retire("adder")

        nursery.start_soon(retire)
    assert trio.current_time() == 3
