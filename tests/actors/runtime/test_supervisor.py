"""The tree: names, deadlines, snapshots."""

from typing import Any

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.runtime.actor_kit import Add, Adder, Deaf, supervised
from tocsin.actors.runtime.supervisor import Actor, Context, open_supervisor


class Ticker(Actor[Any]):
    """Notes each message and each tick, every *interval* seconds."""

    def __init__(self, interval: float, noted: list[Any]) -> None:
        self._interval = interval
        self._noted = noted
        self._next = trio.current_time() + interval

    async def receive(self, message: Any) -> None:
        self._noted.append((message, trio.current_time()))

    def next_deadline(self) -> float:
        return self._next

    async def on_deadline(self, now: float) -> None:
        self._noted.append(("tick", now))
        self._next = now + self._interval


async def test_a_deadline_is_kept_between_messages(autojump_clock):
    noted: list[Any] = []
    async with supervised() as supervisor:
        ticker = supervisor.spawn("ticker", lambda: Ticker(5, noted))
        await pass_time(2)
        ticker.tell("message")
        await pass_time(14)

    assert noted == [("message", 2), ("tick", 5), ("tick", 10), ("tick", 15)]


async def test_a_flood_of_messages_does_not_keep_a_deadline_waiting(autojump_clock):
    noted: list[Any] = []

    class Flooded(Ticker):
        async def receive(self, message: Any) -> None:
            await pass_time(0.01)

    async with open_supervisor("", lambda: 0.0) as supervisor:
        flooded = supervisor.spawn("flooded", lambda: Flooded(1, noted), capacity=1000)
        for number in range(1000):
            flooded.tell(number)
        await supervisor.stop(100)

    ticks = [now for _, now in noted]
    # It comes first between two bursts.
    gaps = [after - before for before, after in zip([0, *ticks], ticks, strict=False)]
    assert len(ticks) >= 6
    assert max(gaps) < 1 + 64 * 0.01 + 0.01


async def test_tasks_are_named_by_path():
    async with supervised() as supervisor:
        names = []

        class Named(Actor[Any]):
            async def run(self, context: Context[Any]) -> None:
                names.append(trio.lowlevel.current_task().name)
                if context.ref.path.count("/") < 3:
                    async with context.open_supervisor(lambda: 0.0) as children:
                        children.spawn("child", Named)

        supervisor.spawn("parent", Named)
        await settle()

    assert names == ["/parent", "/parent/child", "/parent/child/child"]


async def test_a_ref_shows_its_path():
    async with supervised() as supervisor:
        assert repr(supervisor.spawn("adder", Adder)) == "<Ref /adder>"


async def test_a_name_is_taken_once():
    async with supervised() as supervisor:
        supervisor.spawn("adder", Adder)
        with pytest.raises(ValueError, match="/adder is already running"):
            supervisor.spawn("adder", Adder)


async def test_children_are_found_by_name_while_they_run():
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)

        assert supervisor.find("adder") is adder
        assert supervisor.find("nobody") is None
        await supervisor.stop_child("adder", 1)
        assert supervisor.find("adder") is None


async def test_waiting_for_the_end_of_one_who_has_ended_returns():
    async with supervised() as supervisor:
        adder = supervisor.spawn("adder", Adder)
        await supervisor.stop_child("adder", 1)
        await adder.wait_stopped()


async def test_a_snapshot_shows_the_tree(autojump_clock):
    class Parent(Actor[Any]):
        async def run(self, context: Context[Any]) -> None:
            async with context.open_supervisor(lambda: 0.0) as children:
                for number in range(5):
                    children.spawn(str(number), Deaf, capacity=7).tell("waiting")
                await super().run(context)
                await children.stop_together(0)

    async with supervised() as supervisor:
        supervisor.spawn("parent", Parent)
        adder = supervisor.spawn("adder", Adder)
        adder.tell("nonsense")
        await pass_time(1)
        adder.tell(Add(1))

        parent, other = supervisor.snapshot(3)
        assert (parent.path, parent.child_count) == ("/parent", 5)
        assert [child.path for child in parent.children] == ["/parent/0", "/parent/1", "/parent/2"]
        assert (parent.children[0].waiting, parent.children[0].capacity) == (1, 7)
        assert (other.waiting, other.restarts, other.last_error) == (1, 1, "Boom()")
        assert other.children == ()


async def test_leaving_the_block_waits_for_the_children(autojump_clock):
    async with open_supervisor("", lambda: 0.0) as supervisor:

        class Brief(Actor[Any]):
            async def run(self, context: Context[Any]) -> None:
                await pass_time(3)

        supervisor.spawn("brief", Brief)
    assert trio.current_time() == 3


async def test_a_supervisor_is_empty_when_all_have_gone():
    async with supervised() as supervisor:
        for number in range(3):
            supervisor.spawn(str(number), Adder)
        assert (len(supervisor), supervisor.names()) == (3, ["0", "1", "2"])
        await supervisor.stop_together(1)
        assert len(supervisor) == 0
