"""Actors that never wait, told whatever comes in whatever order: each message is handled once."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.actors.runtime.actor_kit import Boom
from tocsin.actors.runtime.errors import ActorCrashed, ActorStopped, MailboxFull
from tocsin.actors.runtime.prompt import AT_A_TIME, PER_TURN_MAX, PromptActor
from tocsin.actors.runtime.ref import Request
from tocsin.actors.runtime.supervisor import open_supervisor


class Numbered(Request[int], kw_only=True):
    number: int
    tells: tuple[tuple[int, Any], ...] = ()
    crash: bool = False
    retires: bool = False


class TableWorker(PromptActor[Numbered]):
    def __init__(self, world: World, name: int) -> None:
        self.world, self.name, self.busy = world, name, False

    def receive(self, message: Numbered) -> None:
        assert not self.busy, "no re-entrance"
        self.busy = True
        self.world.handled.append((self.name, message.number))
        for name, plan in message.tells:
            self.world.tell(name, plan)
        if message.retires:
            self.world.tree.retire(str(self.name))
        self.busy = False
        if message.crash:
            raise Boom
        message.reply.set(message.number)

    def ended(self, *, failed: bool) -> None:
        self.world.ends.append(self.name)


class World:
    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.sent: dict[int, list[int]] = {}
        self.handled: list[tuple[int, int]] = []
        self.requests: list[Numbered] = []
        self.ends: list[int] = []
        self.begun = 0

    def tell(self, name: int, plan: Any) -> None:
        tells, crash, retires = plan
        request = Numbered(
            number=len(self.requests), tells=tuple(tells), crash=crash, retires=retires
        )
        self.requests.append(request)
        try:
            ref = self.tree.find(str(name))
            if ref is None:
                ref = self.tree.spawn_prompt(str(name), lambda: TableWorker(self, name), capacity=3)
                self.begun += 1
            ref.tell(request)
        except (MailboxFull, ActorStopped) as error:
            request.reply.fail(error)


names = st.integers(0, 2)
plans = st.recursive(
    st.tuples(st.just(()), st.booleans(), st.booleans()),
    lambda inner: st.tuples(
        st.lists(st.tuples(names, inner), max_size=5), st.booleans(), st.booleans()
    ),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.none(), st.tuples(names, plans)), max_size=15), st.booleans())
def test_every_message_is_handled_once_and_in_order_or_its_asker_is_told(script, cancel):
    async def play() -> World:
        with trio.CancelScope() as everything:
            async with open_supervisor("", lambda: 0.0) as tree:
                world = World(tree)
                for step in script:
                    if step is None:
                        await trio.lowlevel.checkpoint()
                    else:
                        world.tell(*step)
                if cancel:
                    everything.cancel()
                await tree.stop(1)
        answers = []
        for request in world.requests:
            with trio.fail_after(1):
                try:
                    answers.append(await request.reply.wait())
                except ActorCrashed:
                    assert request.crash
                except (ActorStopped, MailboxFull):
                    assert (0, request.number) not in world.handled
                    assert (1, request.number) not in world.handled
                    assert (2, request.number) not in world.handled
        assert len(world.ends) == world.begun
        return world

    world = trio.run(play, clock=MockClock(autojump_threshold=0))
    for name in range(3):
        numbers = [number for who, number in world.handled if who == name]
        assert numbers == sorted(set(numbers))


def just(actor: Timed) -> Timed:
    return actor


class Timed(PromptActor[tuple[int, float]]):
    """Keeps the deadlines that it is told, and notes when each was looked at."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.due: list[float] = []
        self.kept: list[tuple[float, float]] = []

    def receive(self, message: tuple[int, float]) -> None:
        number, after = message
        self.handled.append(number)
        self.due.append(trio.current_time() + after)

    def next_deadline(self) -> float:
        return min(self.due, default=math.inf)

    def on_deadline(self, now: float) -> None:
        self.kept += [(each, now) for each in self.due if each <= now]
        self.due = [each for each in self.due if each > now]


crowds = st.lists(
    st.tuples(
        st.floats(0, 2, allow_subnormal=False), st.integers(0, 2500), st.sampled_from((0.5, 1.0))
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(crowds)
def test_a_crowd_of_messages_keeps_order_and_deadlines_and_ends_each_turn_in_time(script):
    """Each step waits, and then tells so many messages something to look at after a while."""

    async def play() -> list[Timed]:
        actors = [Timed() for _ in range(7)]

        def handled() -> int:
            return sum(len(actor.handled) for actor in actors)

        async with open_supervisor("", lambda: 0.0) as tree:
            refs = [
                tree.spawn_prompt(str(name), partial(just, actor), capacity=3000)
                for name, actor in enumerate(actors)
            ]
            told = 0
            for pause, crowd, after in script:
                await trio.sleep(pause)  # waits for: virtual time
                for number in range(told, told + crowd):
                    refs[number % len(refs)].tell((number, after))
                told += crowd
                assert handled() >= told - crowd + min(crowd, PER_TURN_MAX)
                assert handled() <= told - crowd + PER_TURN_MAX
                while (before := handled()) < told:
                    await trio.lowlevel.checkpoint()
                    # The attendant may run behind this task in one turn, and before it in the next.
                    assert handled() <= before + 2 * AT_A_TIME
            await trio.sleep(3)  # waits for: virtual time
            await tree.stop(1)
        return actors

    actors = trio.run(play, clock=MockClock(autojump_threshold=0))
    for actor in actors:
        assert actor.handled == sorted(actor.handled)
        assert not actor.due
        assert all(due == now for due, now in actor.kept)
    assert sum(len(actor.kept) for actor in actors) == sum(crowd for _, crowd, _ in script)
