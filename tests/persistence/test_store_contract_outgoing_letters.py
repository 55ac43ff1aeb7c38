"""What every store does with sends that were given up, and with receipts that were refused."""

from __future__ import annotations

import json

import pytest

from tests.persistence.desk_kit import START_OF_TIME
from tests.persistence.escalation_kit import (
    DUE,
    MINUTE,
    address,
    claim,
    escalate,
    lines,
    post,
    settled,
)
from tests.persistence.letters_kit import died
from tests.persistence.test_store_contract_receipts import ask, receipts, sink
from tests.persistence.test_store_contract_receipts import claim as claim_sinks
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.escalation_commands import SettledSend, SettleSends
from tocsin.persistence.store.ingest_commands import BuryMessages, IngestLetter, ListIngest
from tocsin.persistence.store.letter_commands import (
    FindReceiptLetter,
    FindSendLetter,
    ListReceiptLetters,
    ListSendLetters,
    SendSettled,
    SettleSendLetter,
)
from tocsin.persistence.store.queries import FindLetter, FindNotification, ListLetters
from tocsin.persistence.store.sink_commands import (
    CreateSink,
    FollowReceipts,
    SaveProgress,
    SettleSinkLetter,
)
from tocsin.protocol.receipts.sink import DISABLED, Letter, Progress

NOW = START_OF_TIME


async def given_up(desk, user="ann", reason='status "400"'):
    """A send to *user* that was given up at its second attempt; the notification."""
    await address(desk, user)
    made = await post(desk, user)
    await escalate(desk)
    first = await claim(desk)
    [each] = first.sends
    retried = SettledSend(each.id, "waiting", 1, 1, DUE + MINUTE, "status_503")
    await desk.one(SettleSends("a", (retried,), (), DUE + 1), Done)
    [again] = (await claim(desk, DUE + MINUTE)).sends
    dead = SettledSend(again.id, "dead", 2, 2, DUE, reason)
    await desk.one(SettleSends("a", (dead,), (), DUE + MINUTE + 2), Done)
    return made


async def letters(desk, **fields):
    return (await ask(desk, ListSendLetters(10, **fields))).letters


async def test_a_send_that_is_given_up_is_a_letter_with_its_attempts(desk):
    made = await given_up(desk)

    [letter] = await letters(desk)
    assert (letter.notification, letter.user) == (made, "ann")
    assert (letter.channel, letter.address) == ("email", "main")
    assert (letter.attempts, letter.reason, letter.status) == (2, 'status "400"', "dead")
    assert letter.dead_at == DUE + MINUTE + 2
    assert json.loads(letter.history) == [
        {"at": DUE + 1, "event": "retry", "attempt": 1, "reason": "status_503"},
        {"at": DUE + MINUTE + 2, "event": "dead", "attempt": 2, "reason": 'status "400"'},
    ]
    [line] = await lines(desk, made)
    assert line.history == letter.history
    found = await ask(desk, FindSendLetter(letter.id))
    assert json.loads(found.document)["id"] == made
    assert await ask(desk, FindSendLetter(letter.id + 1)) == NotFound()


async def test_a_send_that_was_given_back_untried_has_no_attempt_more(desk):
    await address(desk, "ann")
    made = await post(desk, "ann")
    await escalate(desk)
    [each] = (await claim(desk)).sends
    given_back = SettledSend(each.id, "waiting", 1, 0, DUE, "refused by all")
    await desk.one(SettleSends("a", (given_back,), (), DUE), Done)
    assert [line.history for line in await lines(desk, made)] == ["[]"]


async def test_a_letter_of_a_send_is_replayed_once_and_waits_again(desk):
    made = await given_up(desk)
    [letter] = await letters(desk)

    done = await desk.write(
        SettleSendLetter(letter.id, "replayed", DUE * 2), SettleSendLetter(letter.id, "dead", 0)
    )
    assert done == [SendSettled("email"), NotFound()]
    assert await desk.write(SettleSendLetter(letter.id, "discarded", NOW)) == [NotFound()]
    assert await letters(desk) == ()
    [replayed] = await letters(desk, status="replayed")
    assert json.loads(replayed.history)[-1] == {"at": DUE * 2, "event": "replayed"}

    claimed = await claim(desk, DUE * 2)
    assert [(each.user, each.attempts) for each in claimed.sends] == [("ann", 1)]
    await desk.one(settled(claimed, "dead"), Done)
    [again] = await letters(desk)
    assert (again.id, again.status) == (letter.id, "dead")
    assert [line.state for line in await lines(desk, made)] == ["dead"]


async def test_a_letter_of_a_send_is_discarded_and_not_carried(desk):
    await given_up(desk)
    [letter] = await letters(desk)
    await desk.one(SettleSendLetter(letter.id, "discarded", NOW), SendSettled)
    assert await letters(desk) == ()
    assert (await claim(desk, DUE * 2)).sends == ()
    assert [each.status for each in await letters(desk, status=None)] == ["discarded"]


async def test_letters_of_sends_are_listed_by_person_and_notification(desk):
    made = [await given_up(desk, user) for user in ("ann", "bob", "cem")]
    everyone = await letters(desk)
    assert [each.notification for each in everyone] == made[::-1]
    assert [each.user for each in await letters(desk, user="bob")] == ["bob"]
    assert [each.user for each in await letters(desk, notification=made[0])] == ["ann"]
    page = await ask(desk, ListSendLetters(1, before=everyone[0].id))
    assert ([each.user for each in page.letters], page.more) == (["bob"], True)


async def test_letters_of_all_kinds_have_one_row_of_numbers(desk):
    await given_up(desk)
    message = IngestLetter(
        connector="orders",
        place="p1",
        idempotency_key=None,
        correlation=None,
        headers={},
        encoding="text",
        body="x",
        cut=False,
        problem="{}",
        dead_at=NOW,
    )
    await desk.one(BuryMessages((message,)), Done)
    await desk.write(CreateSink(sink()))
    await claim_sinks(desk, "a")
    refused = tuple(Letter(at, "ann", "{}", "status_400", NOW) for at in (1, 2))
    await desk.write(SaveProgress("w1", "a", 0, Progress(2), refused, NOW))
    await died(desk)

    ids = [each.id for each in await letters(desk)]
    ids += [each.id for each in (await ask(desk, ListIngest(9))).letters]
    ids += [each.id for each in (await ask(desk, ListReceiptLetters(9))).letters][::-1]
    ids += [each.id for each in (await ask(desk, ListLetters(9, None, "dead"))).letters]
    assert ids == sorted(set(ids))
    assert len(ids) == 5
    assert await ask(desk, FindLetter(ids[0])) == NotFound()


async def test_letters_of_receipts_are_listed_for_all_sinks(desk):
    await desk.write(CreateSink(sink()), CreateSink(sink("w2")))
    await claim_sinks(desk, "a")
    for name, user in (("w1", "ann"), ("w2", None)):
        refused = (Letter(7, user, '{"kind":"read"}', "status_400", NOW),)
        await desk.write(SaveProgress(name, "a", 0, Progress(8), refused, NOW))
    page = await ask(desk, ListReceiptLetters(1))
    assert ([each.sink for each in page.letters], page.more) == (["w2"], True)
    [older] = (await ask(desk, ListReceiptLetters(1, before=page.letters[0].id))).letters
    assert (older.sink, older.letter.receipt) == ("w1", '{"kind":"read"}')
    assert await ask(desk, FindReceiptLetter(older.id)) == older
    assert await ask(desk, FindReceiptLetter(older.id + 2)) == NotFound()
    of_ann = await ask(desk, ListReceiptLetters(9, user="ann"))
    assert of_ann.letters == (older,)
    await desk.one(SettleSinkLetter("w1", 7, "discarded"), Done)
    assert [each.sink for each in (await ask(desk, ListReceiptLetters(9))).letters] == ["w2"]
    # Refused once more, it is the same letter.
    await desk.write(SaveProgress("w1", "a", 0, Progress(8), (older.letter,), NOW))
    assert await ask(desk, ListReceiptLetters(9, user="ann")) == of_ann


# --- Facts --------------------------------------------------------------------------------------


async def test_the_end_of_a_send_is_a_receipt_and_counts(desk):
    await desk.one(FollowReceipts("shop", NOW), Done)
    dead = await given_up(desk)
    await address(desk, "bob")
    made = await post(desk, "bob")
    await escalate(desk, DUE + MINUTE)
    await desk.one(settled(await claim(desk, DUE + MINUTE)), Done)

    failed, done = await receipts(desk)
    assert (failed.kind, failed.notification, failed.user) == ("failed", dead, "ann")
    assert (failed.channel, failed.at, failed.category) == ("email", DUE + MINUTE + 2, "default")
    said = {"address": "main", "attempts": 2, "reason": 'status "400"'}
    assert json.loads(failed.detail) == said
    assert (done.kind, done.notification, done.user) == ("sent", made, "bob")
    for notification, count in ((dead, 0), (made, 1)):
        assert (await ask(desk, FindNotification(notification))).sent == count


@pytest.mark.parametrize("state", [DISABLED, "active"])
async def test_that_a_webhook_is_disabled_is_told_to_the_others(desk, state):
    await desk.write(CreateSink(sink()), CreateSink(sink("w2")))
    await claim_sinks(desk, "a")
    progress = Progress(0, state=state, reason="gone")
    await desk.write(SaveProgress("w1", "a", 0, progress, (), NOW + 9))
    # A node that has the lease no more says nothing.
    await desk.write(SaveProgress("w2", "b", 0, progress, (), NOW))

    told = [(each.kind, each.notification, each.at, each.detail) for each in await receipts(desk)]
    detail = '{"sink":"w1","reason":"gone"}'
    assert told == ([("sink_disabled", None, NOW + 9, detail)] if state == DISABLED else [])
