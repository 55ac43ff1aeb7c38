"""The contract of every bus for users whom operators have disconnected."""

from __future__ import annotations

import trio

from tests.persistence.services_kit import opened
from tocsin.persistence.bus import DISCONNECTED_LIFETIME, DISCONNECTED_MAX


async def test_no_user_was_disconnected_at_first(ann):
    assert await ann.disconnected() == {}


async def test_a_disconnected_user_is_known_to_every_node_with_the_seconds_since(ann, ben):
    await ann.keep_disconnected([b"ada", b"\xff \n"])
    await trio.sleep(0.05)  # waits for: the age that is asserted
    await ben.keep_disconnected([b"bob"])

    ages = await ben.disconnected()

    assert ages.keys() == {b"ada", b"bob", b"\xff \n"}
    assert 0 <= ages[b"bob"] < 5
    assert ages[b"bob"] + 0.04 < ages[b"ada"] < 5


async def test_of_several_times_the_last_one_counts(ann):
    await ann.keep_disconnected([b"ada"])
    await trio.sleep(0.05)  # waits for: an age
    await ann.keep_disconnected([b"bob"])
    await ann.keep_disconnected([b"ada"])
    ages = await ann.disconnected()
    assert ages[b"ada"] <= ages[b"bob"]


async def test_only_so_many_are_remembered_and_those_are_the_latest(ann):
    await ann.keep_disconnected([b"first"])
    await trio.sleep(0.002)  # waits for: another millisecond
    await ann.keep_disconnected(b"user-%d" % number for number in range(DISCONNECTED_MAX))
    ages = await ann.disconnected()
    assert len(ages) == DISCONNECTED_MAX
    assert b"first" not in ages


async def test_none_are_no_work(ann):
    await ann.keep_disconnected([])
    assert await ann.disconnected() == {}


async def test_after_an_hour_nobody_is_remembered(autojump_clock):
    from tocsin.persistence.bus.memory_bus import MemoryBroker

    async with opened(MemoryBroker().bus("a")) as ann:
        await ann.keep_disconnected([b"ada"])
        await trio.sleep(DISCONNECTED_LIFETIME - 1)  # waits for: virtual time
        assert await ann.disconnected()
        await trio.sleep(1)  # waits for: virtual time
        assert await ann.disconnected() == {}
