"""Actors that never wait, interrupted or ended twice."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.runtime.actor_kit import Total, supervised
from tocsin.actors.runtime.errors import ActorStopped
from tocsin.actors.runtime.prompt import Attendant, PromptActor, PromptMailbox
from tocsin.actors.runtime.ref import Ref


class Calls(PromptActor[Callable[[], None]]):
    """Does what it is told, and notes its ends."""

    def __init__(self) -> None:
        self.ends: list[bool] = []

    def receive(self, message: Callable[[], None]) -> None:
        message()

    def ended(self, *, failed: bool) -> None:
        self.ends.append(failed)


class Interrupt(BaseException):
    """As a `KeyboardInterrupt`, which pytest would take for its own."""


async def test_an_interrupt_ends_the_actor_and_goes_on_to_the_sender():
    async with supervised() as tree:
        ref: Ref[Any] = tree.spawn_prompt("calls", Calls)
        tree.spawn_prompt("other", Calls)
        queued = Total()

        def interrupt() -> None:
            ref.tell(queued)
            raise Interrupt

        with pytest.raises(Interrupt):
            ref.tell(interrupt)
        assert (ref.stopped, tree.names()) == (True, ["other"])
        with pytest.raises(ActorStopped):
            await queued.reply.wait()


async def test_an_end_that_comes_twice_is_one():
    calls = Calls()
    attendant = Attendant()
    gone: list[str] = []
    mailbox: PromptMailbox[Any] = PromptMailbox(
        "/calls", 8, attendant, lambda mailbox: gone.append(mailbox.ref.path)
    )
    mailbox.begin(calls)

    mailbox.end()
    mailbox.end()

    assert (calls.ends, gone) == ([False], ["/calls"])
    assert mailbox.handle_next() is False


async def test_the_memory_of_an_ended_actor_is_freed_although_its_ref_is_kept():
    gc.disable()
    try:
        async with supervised() as tree:
            ref: Ref[Any] = tree.spawn_prompt("calls", Calls)
            actors = [weakref.ref(each) for each in gc.get_objects() if type(each) is Calls]
            ref.tell(lambda: None)
            tree.retire("calls")

            assert [each() for each in actors] == [None]
            with pytest.raises(ActorStopped):
                ref.tell(lambda: None)
            with pytest.raises(ActorStopped):
                await ref.send(lambda: None)
    finally:
        gc.enable()
