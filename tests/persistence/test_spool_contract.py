"""The contract of every spool: posts stay in order until they are stored, by a node at a time."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from tests.persistence.services_kit import append
from tocsin.persistence.bus import Claim, Replaying, Spool, SpoolDraft, SpoolEntry


@pytest.fixture
def spool(service):
    return service.spool("node-a")


async def fill(spool: Spool, *payloads: bytes) -> None:
    for each in payloads:
        assert await append(spool, each) is None


async def taken(spool: Spool, node: str = "node-a", limit: int = 100) -> list[bytes]:
    entries = await spool.take(node, limit, 30)
    assert entries is not None
    return [each.payload for each in entries]


async def finish(spool: Spool, count: int, node: str = "node-a") -> None:
    entries = await spool.take(node, count, 30)
    assert entries is not None
    await spool.done(node, [each.id for each in entries])


async def test_an_empty_spool_gives_nothing(spool):
    assert await taken(spool) == []
    assert await spool.size() == 0


async def test_entries_of_all_nodes_are_taken_in_the_order_appended(service, spool):
    await fill(spool, b"1", b"2")
    await fill(service.spool("node-b"), b"3")
    assert await taken(spool) == [b"1", b"2", b"3"]
    assert await spool.size() == 3


async def test_entries_that_are_not_done_are_taken_again_before_new_ones(spool):
    await fill(spool, b"1", b"2", b"3", b"4")
    assert await taken(spool, limit=2) == [b"1", b"2"]
    assert await taken(spool, limit=3) == [b"1", b"2", b"3"]


async def test_entries_that_are_done_are_forgotten_and_the_rest_follows(spool):
    await fill(spool, b"1", b"2", b"3")
    await finish(spool, 2)
    assert await spool.size() == 1
    assert await taken(spool) == [b"3"]
    await finish(spool, 1)
    await fill(spool, b"4")
    assert await taken(spool) == [b"4"]


async def test_done_out_of_the_middle_leaves_the_others_in_order(spool):
    await fill(spool, b"1", b"2", b"3")
    [_, second, _] = await spool.take("node-a", 3, 30)
    await spool.done("node-a", [second.id, second.id])
    assert await taken(spool) == [b"1", b"3"]


async def test_one_node_at_a_time_takes(service, spool):
    await fill(spool, b"1")
    assert await taken(spool, "node-a") == [b"1"]
    assert await service.spool("node-b").take("node-b", 10, 30) is None


async def test_entries_that_a_dead_node_took_are_taken_first_by_the_next(service, spool):
    await fill(spool, b"1", b"2", b"3")
    assert len(await spool.take("node-a", 2, 0.05)) == 2
    await trio.sleep(0.15)  # waits for: the end of the lease, which nobody tells
    assert await taken(service.spool("node-b"), "node-b") == [b"1", b"2", b"3"]


async def test_taking_renews_the_lease(service, spool):
    await spool.take("node-a", 1, 0.05)
    await spool.take("node-a", 1, 30)
    await trio.sleep(0.15)  # waits for: the first lease to be over
    assert await service.spool("node-b").take("node-b", 1, 30) is None


async def test_many_are_appended_at_once_and_each_key_is_heeded(spool):
    held = Claim("held", b"print", "first")
    await append(spool, b"0", held)
    new = Claim("new", b"print", "second")
    drafts = [
        *(
            SpoolDraft(b"1"),
            SpoolDraft(b"again", held),
            SpoolDraft(b"2", new),
            SpoolDraft(b"", None),
        ),
        *(SpoolDraft(b"again", replace(new, answer="third")), SpoolDraft(b"3")),
    ]

    appended = await spool.append(drafts)

    assert appended.earlier == (None, held, None, None, new, None)
    assert await taken(spool) == [b"0", b"1", b"2", b"", b"3"]


async def test_a_run_begins_in_an_empty_spool_and_ends_with_it(service, spool):
    claim = Claim("key", b"print", "answer")
    first = (await spool.append([SpoolDraft(b"1", claim)])).run
    assert first
    assert (await service.spool("node-b").append([SpoolDraft(b"2")])).run == first
    await finish(spool, 1)
    assert (await spool.append([SpoolDraft(b"1", claim)])).run == first
    await finish(spool, 1)
    assert (await spool.append([SpoolDraft(b"1", claim)])).run == ""

    second = (await spool.append([SpoolDraft(b"3")])).run

    assert second not in ("", first)


async def test_a_claimed_key_appends_once_and_tells_what_was_answered(service, spool):
    claim = Claim("producer key", b"\x00print", '{"id": "é"}')
    assert await append(spool, b"1", claim) is None

    other = Claim("producer key", b"other", "else")
    assert await append(service.spool("node-b"), b"2", other) == claim

    assert await taken(spool) == [b"1"]


async def test_a_claim_outlives_its_entry(spool):
    claim = Claim("key", b"print", "answer")
    await append(spool, b"1", claim)
    await finish(spool, 1)
    assert await append(spool, b"1", claim) == claim
    assert await spool.size() == 0


async def test_a_claim_can_be_asked_for_without_appending_anything(service, spool):
    claim, asked = Claim("key", b"print", "answer"), Claim("key", b"other", "else")
    assert await append(spool, b"", asked) is None
    assert await spool.size() == 0
    assert await append(spool, b"1", claim) is None

    assert await append(service.spool("node-b"), b"", asked) == claim

    assert await taken(spool) == [b"1"]


async def test_of_two_that_come_at_the_same_time_one_is_appended(service):
    answers: list[Claim | None] = []

    async def attempt(number: int) -> None:
        claim = Claim("key", b"print", str(number))
        answers.append(await append(service.spool(f"node-{number % 3}"), b"x", claim))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(attempt, number)

    assert answers.count(None) == 1
    assert len({each.answer for each in answers if each}) == 1
    assert await service.spool("node-1").size() == 1


async def test_poison_is_put_aside_and_what_is_behind_it_goes_on(spool):
    await fill(spool, b"1", b"2", b"3")
    first, second, _ = await spool.take("node-a", 3, 30)
    await spool.poison("node-a", [(first, "bad é")])
    await spool.poison("node-a", [(second, "worse")])

    assert await taken(spool) == [b"3"]
    assert await spool.size() == 1
    assert await spool.poisoned(10) == [(second, "worse"), (first, "bad é")]
    assert await spool.poisoned(1) == [(second, "worse")]


async def test_an_entry_that_is_not_there_any_more_cannot_be_poison(spool):
    await fill(spool, b"1")
    [entry] = await spool.take("node-a", 1, 30)
    await spool.poison("node-a", [(entry, "bad")])
    await spool.poison("node-a", [(entry, "bad")])
    await spool.poison("node-a", [(SpoolEntry("1-1", b"?"), "unknown")])
    assert len(await spool.poisoned(10)) == 1


async def test_an_entry_set_aside_is_replayed_behind_the_others_or_discarded(spool):
    await fill(spool, *[b"%d" % number for number in range(250)])
    entries = await spool.take("node-a", 250, 30)
    assert entries is not None
    for each in entries[1:]:
        await spool.poison("node-a", [(each, "bad")])

    assert await spool.replay(entries[2].id) is Replaying.DONE
    assert await spool.replay(entries[2].id) is Replaying.ABSENT
    assert await spool.discard(entries[200].id)
    assert not await spool.discard(entries[200].id)
    assert await spool.replay(entries[0].id) is Replaying.ABSENT
    assert not await spool.discard("1-1")

    assert await taken(spool) == [b"0", b"2"]
    left = [entry.id for entry, _ in await spool.poisoned(1000)]
    kept = [each.id for each in entries[1:] if each not in (entries[2], entries[200])]
    assert left == kept[::-1]


async def test_a_replayed_entry_begins_a_run(spool):
    await fill(spool, b"1")
    [entry] = await spool.take("node-a", 1, 30)
    await spool.poison("node-a", [(entry, "bad")])
    await spool.replay(entry.id)
    [again] = await spool.take("node-a", 1, 30)
    assert again != entry

    assert (await spool.append([SpoolDraft(b"2")])).run == again.id


async def test_a_node_without_the_lease_cannot_set_aside_another_s_entries(service, spool):
    await fill(spool, b"1")
    [entry] = await spool.take("node-a", 1, 0.05)
    await trio.sleep(0.15)  # waits for: the end of the lease, which nobody tells
    other = service.spool("node-b")
    assert await other.take("node-b", 1, 30) == [entry]

    await spool.poison("node-a", [(entry, "bad")])

    assert await spool.poisoned(10) == []
    await other.poison("node-b", [(entry, "worse")])
    assert await spool.poisoned(10) == [(entry, "worse")]


async def test_thousands_are_done_at_once(spool):
    async with trio.open_nursery() as nursery:
        for number in range(2500):
            nursery.start_soon(append, spool, b"%d" % number)
    await finish(spool, 2500)
    await spool.done("node-a", [])
    assert await spool.size() == 0
