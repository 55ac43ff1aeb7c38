"""Long polls by the thousand: they come in, and are answered, in turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from tests.actors.clock_kit import settle
from tocsin.actors.delivery.messages import Arrived
from tocsin.protocol.closing import Closing
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.refusal import Refused
from tocsin.server.auth.errors import Unauthenticated
from tocsin.server.follow.long_poll import gather
from tocsin.server.follow.moment import Turn
from tocsin.server.follow.poll_outlet import PollOutlet
from tocsin.server.services import Services
from tocsin.server.turnstile import ANSWERS_MAX, ATTACHING_MAX, AnswerLine, Turnstile

MANY = 200


class Room:
    """Those who have arrived at a user's actor, and have not left."""

    def __init__(self) -> None:
        self.here: list[PollOutlet] = []
        self.left = 0
        self.services = cast(
            Services,
            SimpleNamespace(
                settings=SimpleNamespace(store_timeout=10.0, poll_wait_max=50.0),
                connections=SimpleNamespace(opened=lambda _: None, closed=lambda _: None),
                users=self,
                attaching=Turnstile(ATTACHING_MAX),
                answering=AnswerLine(ANSWERS_MAX),
            ),
        )

    def arrive(self, user: str, arrived: Arrived) -> None:
        outlet = cast(Any, arrived.outlet)
        outlet.begin(Cursor("e", 0))
        self.here.append(outlet)

    def leave(self, user: str, connection: str) -> None:
        self.left += 1

    rest = leave

    async def poll(self, number: int, wait: float = 50.0) -> None:
        outlet = PollOutlet(str(number), 100, 1 << 20, self.services.answering)
        await gather(self.services, "ann", outlet, Arrived(outlet, "web", None, 1, None), wait)

    def all_looked(self) -> None:
        for outlet in self.here:
            outlet.caught_up = True
            outlet.looked.set()


async def test_only_so_many_look_at_their_log_at_a_time(autojump_clock):
    room = Room()
    async with trio.open_nursery() as nursery:
        for number in range(MANY):
            nursery.start_soon(room.poll, number)
        await settle()
        assert len(room.here) == ATTACHING_MAX
        while len(room.here) < MANY:
            room.all_looked()
            before = len(room.here)
            await settle()
            assert before < len(room.here) <= before + ATTACHING_MAX
        nursery.cancel_scope.cancel()
    assert room.left == MANY


async def test_polls_that_wake_together_leave_room_for_others_in_each_turn(autojump_clock):
    room = Room()
    async with trio.open_nursery() as nursery:
        for number in range(MANY):
            nursery.start_soon(room.poll, number)
        while len(room.here) < MANY:
            await settle()
            room.all_looked()
        await settle()
        assert room.left == 0

        for outlet in room.here:
            outlet.enough.set()
        turns = []
        while room.left < MANY:
            before = room.left
            await trio.lowlevel.checkpoint()
            turns.append(room.left - before)
        # Trio shuffles each turn, so between two looks may be the ends of two.
        assert max(turns) <= 2 * ANSWERS_MAX
        assert len(turns) <= MANY + 1


async def test_a_poll_that_has_waited_long_enough_is_answered_before_its_turn(autojump_clock):
    room = Room()
    places = [Turn(room.services.answering) for _ in range(ANSWERS_MAX)]
    for place in places:
        place.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.poll, 1)
        await settle()
        room.all_looked()
    assert trio.current_time() < 60
    assert room.left == 1
    assert all(place.is_set() for place in places)


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        ("key_revoked: the key was revoked.", "key_revoked"),
        ("token_expired: the token has run out.", "token_expired"),
    ],
)
async def test_a_poll_that_its_credential_ends_says_why(autojump_clock, detail, code):
    room = Room()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def poll() -> None:
            with pytest.raises(Unauthenticated) as refused:
                await room.poll(1)
            assert refused.value.refusal.code == code
            assert 'error="invalid_token"' in (refused.value.refusal.challenge or "")

        await settle()
        room.all_looked()
        room.here[0].end(Closing.UNAUTHENTICATED, detail=detail)


async def test_a_poll_that_finds_no_store_in_time_is_refused(autojump_clock):
    room = Room()
    with pytest.raises(Refused) as refused:
        await room.poll(1)
    assert refused.value.refusal.code == "store_unavailable"
    assert trio.current_time() == 10
    assert room.left == 1


async def test_polls_that_have_an_answer_as_they_come_leave_room_for_others_too(autojump_clock):
    room = Room()
    async with trio.open_nursery() as nursery:
        for number in range(ATTACHING_MAX):
            nursery.start_soon(room.poll, number)
        await settle()
        for outlet in room.here:
            outlet.end(Closing.DRAINING)
        turns = []
        while room.left < ATTACHING_MAX:
            before = room.left
            await trio.lowlevel.checkpoint()
            turns.append(room.left - before)
        assert max(turns) <= 2 * ANSWERS_MAX
