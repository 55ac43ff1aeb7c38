"""Asking: exactly one answer, whatever happens to the one who was asked."""

from contextlib import suppress
from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.runtime.actor_kit import Add, Adder, Boom, Deaf, Fail, Slow, Total, supervised
from tocsin.actors.runtime.errors import ActorCrashed, ActorStopped
from tocsin.actors.runtime.ref import PipedReply, Reply
from tocsin.actors.runtime.restart import TEMPORARY
from tocsin.actors.runtime.supervisor import Actor, Context, open_supervisor


async def test_an_answer_comes_back():
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)
        for number in range(5):
            adder.tell(Add(number))

        assert await adder.ask(Total()) == 10


async def test_an_actor_can_refuse():
    class Refuser(Actor[Any]):
        async def receive(self, message):
            message.reply.fail(ValueError("no"))

    async with supervised() as supervisor:
        refuser = supervisor.spawn("refuser", Refuser)
        with pytest.raises(ValueError, match="no"):
            await refuser.ask(Total())


async def test_a_crash_answers_its_asker_with_the_cause(autojump_clock):
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)
        with pytest.raises(ActorCrashed) as caught:
            await adder.ask(Fail())

        assert isinstance(caught.value.__cause__, Boom)
        assert await adder.ask(Total()) == 0


async def test_an_asker_still_waiting_when_the_actor_ends_is_told(autojump_clock, nursery):
    refused = []

    async def ask(ref):
        try:
            await ref.ask(Total())
        except ActorStopped:
            refused.append(trio.current_time())

    async with open_supervisor("", lambda: 0.0) as supervisor:
        deaf = supervisor.spawn("deaf", Deaf)
        for _ in range(3):
            nursery.start_soon(ask, deaf)
        await settle()
        await supervisor.stop(2)
        await settle()
        assert refused == [2, 2, 2]
        with pytest.raises(ActorStopped):
            await deaf.ask(Total())


async def test_an_asker_that_waits_for_room_is_told_as_well(autojump_clock, nursery):
    refused = []

    async def ask(ref):
        try:
            await ref.ask(Total())
        except ActorStopped:
            refused.append(trio.current_time())

    async with open_supervisor("", lambda: 0.0) as supervisor:
        deaf = supervisor.spawn("deaf", Deaf, capacity=1)
        nursery.start_soon(ask, deaf)
        await settle()
        nursery.start_soon(ask, deaf)
        await settle()
        await supervisor.stop(2)
        await settle()
    # Nothing can change for the one outside any more, for the one inside it can.
    assert refused == [0, 2]


async def test_a_request_in_hand_at_the_end_of_the_grace_is_answered(autojump_clock, nursery):
    refused = []

    async def ask(ref):
        try:
            await ref.ask(Total())
        except ActorStopped:
            refused.append(trio.current_time())

    async with open_supervisor("", lambda: 0.0) as supervisor:
        slow = supervisor.spawn("slow", lambda: Slow([]))
        nursery.start_soon(ask, slow)
        await settle()
        await supervisor.stop(0.5)
        await settle()
    assert refused == [0.5]


async def test_a_request_in_hand_when_a_sibling_of_a_group_fails_is_answered(autojump_clock):
    class Group(Actor[Any]):
        async def run(self, context: Context[Any]) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.fail_later)
                await super().run(context)

        async def fail_later(self) -> None:
            await pass_time(1)
            raise Boom

        async def receive(self, message: Any) -> None:
            await trio.sleep_forever()

    async with open_supervisor("", lambda: 0.0) as supervisor:
        group = supervisor.spawn("group", Group, policy=TEMPORARY)
        with pytest.raises(ActorStopped):
            await group.ask(Total())


async def test_a_cancelled_asker_does_no_harm(autojump_clock):
    async with supervised() as supervisor:
        done: list[Any] = []
        slow = supervisor.spawn("slow", lambda: Slow(done))
        request = Total()
        with trio.move_on_after(0.5):
            await slow.ask(request)
        await pass_time(1)
        request.reply.set(3)

        assert done == [request]


async def test_the_first_of_two_answers_is_kept():
    reply = Reply[int]()
    reply.set(1)
    reply.set(2)
    reply.fail(Boom())

    assert await reply.wait() == 1


async def test_an_answer_is_waited_for_until_a_deadline(autojump_clock, nursery):
    reply = Reply[int]()
    with pytest.raises(trio.TooSlowError):
        await reply.wait(2.0)
    assert trio.current_time() == 2.0
    # One that comes too late is there for whoever asks again.
    reply.set(1)
    assert await reply.wait(3.0) == 1

    in_time = Reply[int]()

    async def answer() -> None:
        await pass_time(1)
        in_time.set(2)

    nursery.start_soon(answer)
    assert await in_time.wait(9.0) == 2
    assert trio.current_time() == 3.0


async def test_an_answer_at_the_instant_of_the_deadline_wakes_once(autojump_clock, nursery):
    reply = Reply[int]()

    async def answer() -> None:
        await pass_time(1)
        reply.set(2)

    nursery.start_soon(answer)
    with suppress(trio.TooSlowError):
        assert await reply.wait(1.0) == 2
    await settle()


async def test_a_wait_with_a_deadline_can_be_cancelled(autojump_clock):
    reply = Reply[int]()
    with trio.move_on_after(1):
        await reply.wait(5.0)
    reply.set(1)
    await pass_time(9)
    assert trio.current_time() == 10


async def test_two_answers_while_somebody_waits_wake_him_once(nursery):
    reply = Reply[int]()
    answers = []

    async def wait():
        answers.append(await reply.wait())

    nursery.start_soon(wait)
    await settle()
    reply.set(1)
    reply.set(2)
    await settle()

    assert answers == [1]


async def test_an_answer_that_races_with_cancellation_is_harmless(nursery):
    reply = Reply[int]()

    async def wait(task_status):
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await reply.wait()

    scope = await nursery.start(lambda task_status: wait(task_status))
    await settle()
    scope.cancel()
    reply.set(1)
    await settle()


# --- answers that come as messages ---------------------------------------------------------------


class Asker(Actor[Any]):
    """Asks *other* and goes on; notes what comes back."""

    def __init__(self, other: Any, heard: list[Any]) -> None:
        self._other = other
        self._heard = heard

    async def run(self, context: Context[Any]) -> None:
        self._ref = context.ref
        await super().run(context)

    async def receive(self, message: Any) -> None:
        if message == "ask":
            self._other.tell(Total(reply=self._ref.piped(lambda answer: ("answer", answer))))
        elif message == "fail":
            self._other.tell(Fail(reply=self._ref.piped(lambda answer: ("answer", answer))))
        else:
            self._heard.append(message)


async def test_a_piped_answer_comes_as_a_message(autojump_clock):
    heard: list[Any] = []
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)
        asker = supervisor.spawn("asker", lambda: Asker(adder, heard))
        adder.tell(Add(3))
        asker.tell("ask")
        asker.tell("fail")
        await pass_time(1)

    [(_, total), (_, failure)] = heard
    assert total.unwrap() == 3
    with pytest.raises(ActorCrashed):
        failure.unwrap()


async def test_a_piped_answer_is_admitted_to_a_full_mailbox(autojump_clock):
    heard: list[Any] = []
    async with supervised() as supervisor:
        slow = supervisor.spawn("slow", lambda: Slow(heard), capacity=1)
        reply = slow.piped(lambda answer: answer)
        slow.tell("in hand")
        await settle()
        slow.tell("full")
        reply.set(1)
        await pass_time(4)

    assert heard[:2] == ["in hand", "full"]
    assert heard[2].unwrap() == 1


async def test_a_piped_answer_comes_once():
    heard: list[Any] = []
    reply = PipedReply[int](heard.append)
    reply.set(1)
    reply.set(2)

    assert [answer.unwrap() for answer in heard] == [1]


async def test_a_piped_answer_to_somebody_who_has_gone_is_dropped():
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)
        reply = adder.piped(lambda answer: answer)
    reply.set(1)
    reply.fail(Boom())


async def test_a_piped_answer_to_somebody_who_is_stopping_is_dropped(autojump_clock, nursery):
    done: list[Any] = []
    async with open_supervisor("", lambda: 0.0) as supervisor:
        slow = supervisor.spawn("slow", lambda: Slow(done))
        reply = slow.piped(lambda answer: answer)
        slow.tell(1)
        nursery.start_soon(supervisor.stop, 10)
        await settle()
        reply.set(2)
    assert done == [1]
