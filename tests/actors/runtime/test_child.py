"""A child of a tree is started from its value: after what it waits for, under its own address."""

from __future__ import annotations

import pytest
import trio

from tests.actors.clock_kit import settle
from tests.actors.runtime.actor_kit import Add, Adder, Fail, Total, supervised
from tocsin.actors.runtime.child import Child
from tocsin.actors.runtime.errors import ActorStopped
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import TEMPORARY


async def test_messages_told_to_its_address_before_the_start_are_read():
    ref: Ref[object] = Ref("/adder", Mailbox(10))
    ref.tell(Add(2))
    async with supervised() as tree:
        assert await Child("adder", Adder, stopped_by=1.0, ref=ref).start(tree) is ref
        assert await ref.ask(Total()) == 2


async def test_a_child_starts_after_what_it_waits_for(nursery):
    is_ready, started = trio.Event(), []
    child = Child("adder", Adder, stopped_by=1.0, after=is_ready.wait)

    async def start(tree):
        started.append(await child.start(tree))

    async with supervised() as tree:
        nursery.start_soon(start, tree)
        await settle()
        assert started == []
        is_ready.set()
        await settle()
        assert await started[0].ask(Total()) == 0


async def test_a_child_is_restarted_as_its_policy_says():
    async with supervised() as tree:
        ref = await Child("adder", Adder, stopped_by=1.0, policy=TEMPORARY).start(tree)
        ref.tell(Fail())
        with pytest.raises(ActorStopped):
            await ref.ask(Total())
