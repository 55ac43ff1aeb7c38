"""The promises of the runtime hold for any order of telling, asking, crashing and stopping."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.actors.clock_kit import pass_time, settle
from tocsin.actors.runtime.errors import ActorCrashed, ActorStopped, MailboxFull
from tocsin.actors.runtime.ref import Ref, Request
from tocsin.actors.runtime.restart import TEMPORARY, RestartPolicy
from tocsin.actors.runtime.supervisor import Actor, Supervisor, open_supervisor

NAMES = ("a", "b", "c")


class Told(msgspec.Struct, frozen=True):
    number: int
    crash: bool
    pause: float


class Asked(Request[int]):
    number: int
    crash: bool
    pause: float


class TableWorker(Actor[Any]):
    """Handles its messages as they say, or crashes; retires when it has nothing to do."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    async def receive(self, message: Told | Asked) -> None:
        self._world.handled.append((self._name, message.number))
        if message.pause:
            await pass_time(message.pause)
        if message.crash:
            raise RuntimeError(message.number)
        if isinstance(message, Asked):
            message.reply.set(message.number)


class World:
    """All that was done to the actors, and all that came of it."""

    def __init__(self, supervisor: Supervisor, nursery: trio.Nursery) -> None:
        self.supervisor = supervisor
        self.nursery = nursery
        self.handled: list[tuple[str, int]] = []
        self.asked: set[int] = set()
        self.cancelled: set[int] = set()
        self.answers: list[tuple[int, object]] = []
        self.refs: list[Ref[Any]] = []
        self.crashing: set[int] = set()
        self._next = 0

    def number(self, crash: bool) -> int:
        self._next += 1
        if crash:
            self.crashing.add(self._next)
        return self._next

    def spawn(self, name: str, temporary: bool, capacity: int) -> None:
        if self.supervisor.find(name) is None:
            policy = TEMPORARY if temporary else RestartPolicy(limit=10**6, window=1)
            ref = self.supervisor.spawn(
                name, lambda: TableWorker(self, name), capacity=capacity, policy=policy
            )
            self.refs.append(ref)

    def tell(self, which: int, crash: bool, pause: float) -> None:
        if self.refs:
            message = Told(self.number(crash), crash, pause)
            try:
                self.refs[-1 - which % len(self.refs)].tell(message)
            except (MailboxFull, ActorStopped):
                self.crashing.discard(message.number)

    def ask(self, which: int, crash: bool, pause: float, patience: float) -> None:
        if self.refs:
            ref = self.refs[-1 - which % len(self.refs)]
            self.nursery.start_soon(self._ask, ref, crash, pause, patience)

    async def _ask(self, ref: Ref[Any], crash: bool, pause: float, patience: float) -> None:
        # Numbered as it is sent, not as the task is started: this is the order to be kept.
        request = Asked(number=self.number(crash), crash=crash, pause=pause)
        self.asked.add(request.number)
        with trio.move_on_after(patience) as scope:
            answer: int | type
            try:
                answer = await ref.ask(request)
            except (ActorStopped, ActorCrashed) as error:
                answer = type(error)
            self.answers.append((request.number, answer))
        if scope.cancelled_caught:
            self.cancelled.add(request.number)

    def crowd(self, which: int, pause: float) -> None:
        for _ in range(8):
            self.ask(which, False, pause, math.inf)

    async def stop(self, name: str, grace: float) -> None:
        self.nursery.start_soon(self.supervisor.stop_child, name, grace)

    def check(self) -> None:
        answered = Counter(number for number, _ in self.answers)
        assert set(answered) | self.cancelled == self.asked
        assert not set(answered) & self.cancelled
        assert max(answered.values(), default=1) == 1
        handled = Counter(number for _, number in self.handled)
        assert max(handled.values(), default=1) == 1
        for name in NAMES:
            numbers = [number for actor, number in self.handled if actor == name]
            assert numbers == sorted(numbers)
        for number, answer in self.answers:
            if answer == number:
                assert handled[number] == 1
                assert number not in self.crashing
            elif answer is ActorCrashed:
                assert handled[number] == 1
                assert number in self.crashing


names = st.sampled_from(NAMES)
whom = st.integers(0, 3)
"""Of those who were started, the newest first; some have gone."""
pauses = st.sampled_from([0, 0, 0, 0.1, 1.0])
graces = st.sampled_from([0, 0.5, 3])
steps = st.one_of(
    st.tuples(st.just("spawn"), names, st.booleans(), st.integers(1, 4)),
    st.tuples(st.just("tell"), whom, st.booleans(), pauses),
    st.tuples(st.just("tell"), whom, st.just(False), pauses),
    st.tuples(st.just("ask"), whom, st.booleans(), pauses, st.sampled_from([0.05, 0.5, math.inf])),
    st.tuples(st.just("crowd"), whom, pauses),
    st.tuples(st.just("retire"), names),
    st.tuples(st.just("stop"), names, graces),
    st.tuples(st.just("wait"), st.sampled_from([0, 0.1, 0.5, 2])),
    st.tuples(st.just("settle")),
)


async def play(script: list[tuple[Any, ...]], grace: float, cancel: bool) -> None:
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as everything:
            async with open_supervisor("", lambda: 0.5) as supervisor:
                world = World(supervisor, nursery)
                for name in NAMES:
                    world.spawn(name, temporary=name == "c", capacity=3)
                for verb, *arguments in script:
                    match verb:
                        case "retire":
                            supervisor.retire(*arguments)
                        case "wait":
                            await pass_time(*arguments)
                        case "settle":
                            await settle()
                        case "stop":
                            await world.stop(*arguments)
                        case _:
                            getattr(world, verb)(*arguments)
                if cancel:
                    everything.cancel()
                await supervisor.stop(grace)
                assert len(supervisor) == 0
        assert all(ref.stopped for ref in world.refs)
        await settle()
        # No task is waiting any more; if one were, this would end its wait.
        nursery.cancel_scope.cancel()
    world.check()


@settings(max_examples=250, deadline=None)
@given(st.lists(steps, min_size=3, max_size=40), graces, st.booleans())
def test_every_ask_is_answered_once_and_every_message_handled_in_order_at_most_once(
    script, grace, cancel
):
    trio.run(play, script, grace, cancel, clock=MockClock(autojump_threshold=0))
