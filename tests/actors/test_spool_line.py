"""The line before the spool: how much of it goes there together, and what each is told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.actors.spool_kit import change, post, withdraw
from tocsin.actors.runtime.ref import Reply
from tocsin.actors.spool.entries import Spoolable, Spooled, decode
from tocsin.actors.spool.places import APPEND_BYTES_MAX, APPEND_MAX, LinePlace, Prepared, prepare
from tocsin.persistence.bus import Claim
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import KeyReused, PatchRefused, Update
from tocsin.protocol.notifications.notification import Patch


def place(command: Spoolable) -> LinePlace:
    return LinePlace(command, Reply())


def prepared(*line: LinePlace) -> list[Prepared]:
    return prepare(line, lambda count: b"x" * count)


def places(found: list[Prepared]) -> list[LinePlace]:
    return [each.place for each in found]


async def answer(place: LinePlace) -> Any:
    return await place.reply.wait()


def test_waiting_commands_go_together_and_in_order():
    line = [place(post("a")), place(withdraw(post("b"))), place(post("c"))]
    assert places(prepared(*line)) == line


def test_nothing_overtakes_what_the_store_has_not_decided():
    line = [place(post("a")), place(post("b")), place(post("c"))]
    line[1].asked = True
    assert places(prepared(*line)) == line[:1]
    line[1].settled = True
    assert places(prepared(*line)) == [line[0], line[2]]


def test_there_is_a_limit_to_what_goes_together():
    line = [place(post(str(number))) for number in range(APPEND_MAX + 1)]
    assert places(prepared(*line)) == line[:APPEND_MAX]

    users = [f"user-{number:0>95}" for number in range(300)]
    large = [place(post(str(number), *users)) for number in range(60)]
    found = prepared(*large)
    size = sum(len(each.draft.payload) for each in found)
    assert APPEND_BYTES_MAX <= size < APPEND_BYTES_MAX + 40_000


async def test_a_command_that_can_never_be_spooled_is_refused_and_the_others_go_on():
    nothing = place(replace(change(post("a"), "b"), patch=Patch()))
    exact = place(change(post("a"), "b", expected_revisions=(1,)))
    last = place(post("c"))

    assert places(prepared(nothing, exact, last)) == [last]

    assert isinstance(await answer(nothing), PatchRefused)
    with pytest.raises(StoreUnavailable):
        await answer(exact)


def test_a_change_gets_one_name_and_keeps_it():
    changed = place(change(post("a"), "b"))
    [first] = prepared(changed)
    [again] = prepare([changed], lambda count: b"y" * count)
    assert first.draft == again.draft
    command = decode(first.draft.payload)
    assert isinstance(command, Update)
    assert command.once == "78" * 16


async def test_each_is_told_what_its_key_means():
    earlier = Claim("shop k", b"1", "the first answer")
    fresh, same, other, own = (place(post("a", key="k", meaning=b"1")) for _ in range(4))
    other.command = post("a", key="k", meaning=b"2")
    drafts = prepared(fresh, same, other, own)

    for each, claim in zip(drafts, (None, earlier, earlier, drafts[3].draft.claim), strict=True):
        each.settle(claim)

    assert await answer(fresh) == Spooled(drafts[0].answer)
    assert await answer(same) == Spooled("the first answer", replayed=True)
    assert await answer(other) == KeyReused()
    assert await answer(own) == Spooled(drafts[3].answer)
