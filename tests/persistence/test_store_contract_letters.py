"""The contract of stores for dead letters: how they come to be, and how they are settled."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from tests.persistence.desk_kit import START_OF_TIME, publish, sent
from tests.persistence.letters_kit import LIFETIME, died, events, letters, replay
from tocsin.persistence.store.commands import Counters, Done, NotActive, NotFound
from tocsin.persistence.store.queries import (
    DeadLetter,
    FindLetter,
    FoundLetter,
    Letters,
    ListLetters,
)
from tocsin.persistence.store.upkeep_commands import (
    DiscardLetter,
    Expire,
    Expired,
    LetterReplayed,
    Purge,
    Purged,
    ReplayLetter,
)
from tocsin.persistence.store.user_commands import Materialise, Record, Subscribe
from tocsin.protocol.log.ledger import DeviceCursor

# --- How they come to be ------------------------------------------------------------------------


async def test_a_device_that_was_given_up_leaves_a_letter(desk):
    made = await desk.publish("ann")
    line = sent("ann", "phone", made.content.id, 1, attempts=20, at=7, dead='says "no"')
    await desk.write(Record(line.deliveries, (DeviceCursor("ann", "phone", 1, 90),)))

    [letter] = await letters(desk)

    assert letter == DeadLetter(
        id=letter.id,
        notification=made.content.id,
        user="ann",
        device="phone",
        cause="attempts",
        reason='says "no"',
        attempts=20,
        first_sent_at=7,
        dead_at=90,
        status="dead",
        history=letter.history,
    )
    first, last = json.loads(letter.history)
    assert first == {"at": 7, "event": "sent"}
    assert last == {"at": 90, "event": "dead"} | {
        name: getattr(letter, name) for name in ("cause", "reason", "attempts")
    }


async def test_a_letter_knows_of_the_sessions_before_the_one_that_gave_up(desk):
    made = await desk.publish("ann")
    line = ("ann", "phone", made.content.id, 1)
    await desk.write(sent(*line, attempts=3, at=7))
    await desk.write(sent(*line, attempts=4, at=50, dead="unresponsive"))

    [letter] = await letters(desk)

    assert letter.first_sent_at == 7
    assert events(letter)[0] == ("sent", 7)


async def test_a_line_that_is_repeated_is_no_second_death(desk):
    made = await died(desk)
    line = sent("ann", "phone", made.content.id, 1, attempts=20, dead="unresponsive")
    await desk.write(line, line)
    await desk.write(sent("ann", "phone", made.content.id, 1, attempts=20))

    [letter] = await letters(desk)

    assert [event for event, _ in events(letter)] == ["sent", "dead"]


async def test_a_later_change_may_die_too_and_it_is_the_same_letter(desk):
    made = await died(desk)
    await desk.update(made.content.id, title="New")
    await desk.sent("ann", "phone", made.content.id, 2, attempts=4, at=9, dead="refused")

    [letter] = await letters(desk)

    assert (letter.reason, letter.attempts, letter.first_sent_at) == ("refused", 4, START_OF_TIME)
    assert [event for event, _ in events(letter)] == ["sent", "dead", "dead"]


async def test_neither_the_withdrawn_nor_the_unknown_leave_letters(desk):
    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)

    await desk.sent("ann", "phone", made.content.id, 2, dead="unresponsive")
    await desk.sent("bob", "phone", made.content.id, 1, dead="unresponsive")
    await desk.sent("ann", "phone", "nothing", 1, dead="unresponsive")

    assert await letters(desk) == ()


async def test_a_notification_that_expires_before_its_recipient_was_told_leaves_a_letter(desk):
    made = await desk.publish(*("away", "told", "saw", "tried"), expires_at=desk.now_ms + LIFETIME)
    await desk.publish("away")
    await desk.sent("told", "phone", made.content.id, 1, acknowledged_at=5)
    await desk.sent("tried", "phone", made.content.id, 1, attempts=2, at=3)
    await desk.sent("tried", "tablet", made.content.id, 1, attempts=1, at=4)
    await desk.mark("saw", "seen", made)
    at = START_OF_TIME + LIFETIME

    await desk.expire(at)

    found = {letter.user: letter for letter in await letters(desk)}
    assert sorted(found) == ["away", "tried"]
    away, tried = found["away"], found["tried"]
    assert (away.device, away.cause, away.dead_at) == (None, "expired", at)
    assert (away.attempts, away.first_sent_at) == (0, None)
    assert events(away) == [("dead", at)]
    assert (tried.attempts, tried.first_sent_at) == (3, 3)
    assert events(tried) == [("sent", 3), ("dead", at)]


async def test_expiry_leaves_no_letters_where_they_are_not_wanted(desk):
    await desk.publish("ann", expires_at=desk.now_ms + LIFETIME)

    await desk.one(Expire(desk.now_ms + LIFETIME, 10, dead_letters=False), Expired)

    assert await letters(desk) == ()


# --- How they are looked at ---------------------------------------------------------------------


async def test_letters_are_listed_the_newest_first_and_page_by_page(desk):
    made = [await died(desk, user=user) for user in ("a", "b", "c", "d", "e")]
    ids = [each.content.id for each in reversed(made)]

    first = await desk.ask(ListLetters(2), Letters)
    second = await desk.ask(ListLetters(2, before=first.letters[-1].id), Letters)
    third = await desk.ask(ListLetters(2, before=second.letters[-1].id), Letters)

    pages = (first, second, third)
    assert [letter.notification for page in pages for letter in page.letters] == ids
    assert [page.more for page in pages] == [True, True, False]


async def test_letters_are_found_by_status_user_and_notification(desk):
    made = [await died(desk, user=user) for user in ("ann", "bob", "eve")]
    by_user = {letter.user: letter for letter in await letters(desk)}
    await desk.one(DiscardLetter(by_user["ann"].id, 5), Done)
    await replay(desk, by_user["bob"])

    async def users(**wanted: Any) -> list[str]:
        return [letter.user for letter in await letters(desk, **wanted)]

    assert await users() == ["eve"]
    assert await users(status="discarded") == ["ann"]
    assert await users(status="replayed") == ["bob"]
    assert await users(status=None) == ["eve", "bob", "ann"]
    assert await users(status=None, user="bob") == ["bob"]
    assert await users(status=None, notification=made[0].content.id) == ["ann"]
    assert await users(notification=made[0].content.id) == []
    page = await desk.ask(ListLetters(2, status=None), Letters)
    assert ([letter.user for letter in page.letters], page.more) == (["eve", "bob"], True)


async def test_one_letter_comes_with_what_it_was_about(desk):
    made = await died(desk)
    [letter] = await letters(desk)

    assert await desk.read(FindLetter(letter.id), FindLetter(letter.id + 1)) == [
        *(FoundLetter(letter, made.content.document), NotFound())
    ]


# --- How they are settled -----------------------------------------------------------------------


async def test_a_replayed_letter_is_a_new_attempt_for_its_device_alone(desk):
    made = await desk.publish("ann")
    id_ = made.content.id
    await desk.sent("ann", "phone", id_, 1, attempts=20, dead="unresponsive")
    await desk.sent("ann", "tablet", id_, 1, acknowledged_at=5)
    await desk.sent("ann", "watch", id_, 1, attempts=20, dead="unresponsive")
    letter = next(each for each in await letters(desk) if each.device == "phone")
    desk.now_ms = START_OF_TIME + 9

    assert await replay(desk, letter) == LetterReplayed("ann", 2)

    [entry] = await desk.entries("ann", "phone")
    assert (entry.sequence, entry.change, entry.attempts) == (2, "created", 0)
    assert await desk.entries("ann", "tablet") == ()
    assert await desk.entries("ann", "watch") == ()
    assert (await desk.page("ann")).counters == Counters(1, 1)
    [settled] = await letters(desk, "replayed")
    assert events(settled)[2:] == [("replayed", desk.now_ms)]


async def test_a_replayed_letter_may_arrive_or_die_again(desk):
    for _ in range(2):
        await died(desk)
    for letter in await letters(desk):
        await replay(desk, letter)
    arrived, failed = await desk.entries("ann")

    await desk.sent("ann", "phone", arrived.notification, arrived.sequence, acknowledged_at=5)
    await desk.sent("ann", "phone", failed.notification, failed.sequence, dead="unresponsive")

    assert await desk.entries("ann") == ()
    [letter] = await letters(desk)
    assert letter.notification == failed.notification
    assert [event for event, _ in events(letter)] == ["sent", "dead", "replayed", "dead"]
    ledger = await desk.ledger(arrived.notification)
    assert ledger["ann", "phone"].outcome == "acknowledged"


async def test_two_letters_of_one_notification_are_replayed_in_one_batch(desk):
    made = await desk.publish("ann")
    for device in ("phone", "tablet"):
        await desk.sent("ann", device, made.content.id, 1, attempts=20, dead="unresponsive")
    await desk.sent("ann", "laptop", made.content.id, 1, acknowledged_at=5)
    first, second = await letters(desk)

    results = await desk.write(
        ReplayLetter(first.id, 5), ReplayLetter(second.id, 5), ReplayLetter(first.id, 5)
    )

    assert results == [*(LetterReplayed("ann", 2), LetterReplayed("ann", 3), NotActive("replayed"))]
    for device in ("phone", "tablet"):
        assert [(e.sequence, e.attempts) for e in await desk.entries("ann", device)] == [(3, 0)]
    assert await desk.entries("ann", "laptop") == ()


async def test_an_expired_notification_lives_again_for_the_letter_s_recipient(desk):
    made = await desk.publish("ann", "bob", expires_at=desk.now_ms + LIFETIME)
    desk.now_ms += LIFETIME
    await desk.expire(desk.now_ms)
    assert (await desk.page("ann")).counters == Counters(0, 0)
    [letter] = [each for each in await letters(desk) if each.user == "ann"]

    desk.now_ms += 5
    assert await replay(desk, letter) == LetterReplayed("ann", 2, desk.now_ms + LIFETIME)

    view = await desk.view(made.content.id)
    assert (view.standing, view.content.revision) == ("active", 2)
    assert view.content.expires_at == desk.now_ms + LIFETIME
    assert json.loads(view.content.document)["revision"] == 2
    [entry] = await desk.entries("ann")
    assert (entry.sequence, entry.expires_at) == (2, desk.now_ms + LIFETIME)
    assert (await desk.page("ann")).counters == Counters(1, 1)
    assert len((await desk.inbox("ann")).items) == 1
    assert (await desk.page("bob")).counters == Counters(0, 0)
    assert await desk.entries("bob") == ()
    assert (await desk.inbox("bob")).items == ()


async def test_a_revived_notification_expires_after_the_same_time_and_counts_once(desk):
    made = await desk.publish("ann", "bob", expires_at=desk.now_ms + LIFETIME)
    for death in range(1, 4):
        desk.now_ms = (await desk.view(made.content.id)).content.expires_at
        await desk.expire(desk.now_ms)
        found = {each.user: each for each in await letters(desk)}
        assert [event for event, _ in events(found["ann"])].count("dead") == death
        assert len(events(found["bob"])) == 1
        for user in ("ann", "bob"):
            assert (await desk.page(user)).counters == Counters(0, 0)
        desk.now_ms += 7
        await replay(desk, found["ann"])
        view = await desk.view(made.content.id)
        assert view.content.expires_at == desk.now_ms + LIFETIME


@pytest.mark.parametrize("end", ["update", "withdraw"])
async def test_a_notification_revived_for_one_changes_for_that_one(desk, end):
    made = await desk.publish("ann", "bob", expires_at=desk.now_ms + LIFETIME)
    desk.now_ms += LIFETIME
    await desk.expire(desk.now_ms)
    [letter] = [each for each in await letters(desk) if each.user == "ann"]
    await replay(desk, letter)

    if end == "update":
        await desk.update(made.content.id, title="New")
    else:
        await desk.withdraw(made.content.id)

    counters = Counters(1, 1) if end == "update" else Counters(0, 0)
    assert (await desk.page("ann")).counters == counters
    assert (await desk.page("bob")).counters == Counters(0, 0)
    assert await desk.entries("bob") == ()


async def test_a_withdrawn_notification_is_not_replayed(desk):
    made = await died(desk)
    await desk.withdraw(made.content.id)
    [letter] = await letters(desk)

    assert await desk.one(ReplayLetter(letter.id, 5), NotActive) == NotActive("withdrawn")
    assert len(await letters(desk)) == 1


async def test_a_notification_that_is_withdrawn_after_its_end_is_not_replayed(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + LIFETIME)
    await desk.expire(START_OF_TIME + LIFETIME)
    await desk.withdraw(made.content.id)
    [letter] = await letters(desk)

    assert letter.cause == "expired"
    assert await desk.one(ReplayLetter(letter.id, 5), NotActive) == NotActive("withdrawn")
    assert await desk.entries("ann") == ()


async def test_an_expiry_for_a_whole_topic_leaves_no_letters_and_is_not_revived(desk):
    await desk.write(Subscribe("news", ("ann", "bob"), 5))
    made = publish(topic="news", expires_at=START_OF_TIME + LIFETIME)
    id_ = made.content.id
    await desk.write(made)
    await desk.write(Materialise(("ann", "bob"), START_OF_TIME))
    await desk.sent("ann", "phone", id_, 1, dead="unresponsive")
    await desk.expire(START_OF_TIME + LIFETIME)

    [letter] = await letters(desk)

    assert (letter.user, letter.cause) == ("ann", "attempts")
    assert await desk.one(ReplayLetter(letter.id, 5), NotActive) == NotActive("expired")
    assert (await desk.view(id_)).standing == "expired"


async def test_the_letter_of_what_was_purged_can_only_be_discarded(desk):
    made = await died(desk)
    await desk.mark("ann", "archived", made)
    await desk.one(Purge(0, 0, archived_before=desk.now_ms + 1), Purged)
    [letter] = await letters(desk)

    assert await desk.ask(FindLetter(letter.id), FoundLetter) == FoundLetter(letter, None)
    assert await desk.one(ReplayLetter(letter.id, 5), NotFound)
    assert await desk.one(DiscardLetter(letter.id, 5), Done)


async def test_a_letter_is_discarded_once_and_again_is_no_harm(desk):
    await died(desk)
    [letter] = await letters(desk)
    discard = DiscardLetter(letter.id, 8)

    assert await desk.write(discard, discard, DiscardLetter(letter.id + 1, 8)) == [
        *(Done(), Done(), NotFound())
    ]
    assert await desk.one(ReplayLetter(letter.id, 9), NotActive) == NotActive("discarded")
    [discarded] = await letters(desk, "discarded")
    assert events(discarded)[2:] == [("discarded", 8)]
    assert await desk.one(ReplayLetter(letter.id + 1, 9), NotFound)


async def test_a_letter_that_many_replay_at_once_is_replayed_by_one(desk):
    await died(desk)
    [letter] = await letters(desk)
    results: list[object] = []

    async def work() -> None:
        results.extend(await desk.write(ReplayLetter(letter.id, 5)))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(work)

    assert results.count(LetterReplayed("ann", 2)) == 1
    assert results.count(NotActive("replayed")) == 5


async def test_many_letters_cost_the_statements_of_one(desk):
    async def cost(count: int) -> int:
        made = await desk.write(*[publish(f"user-{number}") for number in range(count)])
        await desk.write(
            *[
                sent(f"user-{number}", "phone", each.content.id, 1, dead="unresponsive")
                for number, each in enumerate(made)
            ]
        )
        found = await letters(desk)
        before: int = desk.store.statements_run
        await desk.write(*[ReplayLetter(letter.id, 5) for letter in found])
        after: int = desk.store.statements_run
        return after - before

    assert await cost(1) == await cost(50)
