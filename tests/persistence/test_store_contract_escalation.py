"""Every store keeps plans of escalation, and claims and settles their sends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.persistence.desk_kit import START_OF_TIME, Desk, sent
from tests.persistence.escalation_kit import (
    DUE,
    MAIL,
    MAIL_UNLESS_READ,
    MINUTE,
    PUSH_AT_ONCE,
    address,
    claim,
    escalate,
    lines,
    post,
    settled,
)
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.escalation_commands import ClaimSends, MuteChannel, SendsClaimed
from tocsin.persistence.store.queries import ListSends, ReadPreferences
from tocsin.persistence.store.upkeep_commands import Purge, Purged
from tocsin.persistence.store.user_commands import SetPreferences
from tocsin.protocol.channels.escalation import EscalationStep
from tocsin.protocol.channels.preferences import ChannelPreferences
from tocsin.protocol.channels.quiet_hours import QuietHours


async def test_a_step_that_is_due_becomes_a_send_for_each_address(desk):
    await address(desk, "ann")
    await address(desk, "ann", name="work", value="ann@work.example")
    await address(desk, "bob", channel="webpush")
    made = await post(desk, "ann", "bob")

    early = await escalate(desk, DUE - 1)
    due = await escalate(desk)

    assert (early.sends, early.next_at) == (0, DUE)
    assert (due.sends, due.plans, due.next_at) == (2, 1, None)
    found = sorted((each.user, each.address, each.state) for each in await lines(desk, made))
    assert found == [("ann", "main", "waiting"), ("ann", "work", "waiting")]


async def test_a_post_without_a_plan_has_no_sends(desk):
    await address(desk, "ann")
    made = await desk.publish("ann")

    assert (await escalate(desk)).next_at is None
    assert await lines(desk, made.content.id) == []
    assert await desk.ask(ListSends("no such id", 10), NotFound) == NotFound()


async def test_steps_follow_one_another_at_their_times(desk):
    await address(desk, "ann")
    await address(desk, "ann", channel="webpush", value="https://push.example/1")
    made = await post(desk, "ann", plan=(PUSH_AT_ONCE, MAIL))

    first = await escalate(desk, START_OF_TIME)
    second = await escalate(desk, DUE)

    assert (first.sends, first.next_at) == (1, DUE)
    assert (second.sends, second.next_at) == (1, None)
    assert [(each.channel, each.step) for each in await lines(desk, made)] == [
        ("webpush", 0),
        ("email", 1),
    ]


async def acknowledge(desk: Desk, notification: str) -> None:
    await desk.write(sent("ann", "phone", notification, 1, acknowledged_at=desk.now_ms))


async def see(desk: Desk, notification: str) -> None:
    await desk.mark("ann", "seen", notification)


async def read(desk: Desk, notification: str) -> None:
    await desk.mark("ann", "read", notification)


async def archive(desk: Desk, notification: str) -> None:
    await desk.mark("ann", "archived", notification)


async def withdraw(desk: Desk, notification: str) -> None:
    await desk.withdraw(notification)


@pytest.mark.parametrize(
    ("act", "plan", "satisfies"),
    [
        (acknowledge, MAIL, True),
        (see, MAIL, True),
        (read, MAIL, True),
        (archive, MAIL, True),
        (withdraw, MAIL, True),
        (acknowledge, MAIL_UNLESS_READ, False),
        (see, MAIL_UNLESS_READ, False),
        (read, MAIL_UNLESS_READ, True),
        (withdraw, MAIL_UNLESS_READ, True),
    ],
)
async def test_a_person_who_is_satisfied_is_sent_nothing(desk, act, plan, satisfies):
    await address(desk, "ann")
    before = await post(desk, "ann", plan=(plan,))
    await act(desk, before)

    assert (await escalate(desk)).sends == (0 if satisfies else 1)


@pytest.mark.parametrize("act", [acknowledge, see, read, withdraw])
async def test_a_send_satisfied_before_the_claim_is_moot(desk, act):
    await address(desk, "ann")
    made = await post(desk, "ann")
    assert (await escalate(desk)).sends == 1
    await act(desk, made)

    claimed = await claim(desk)

    assert (claimed.sends, claimed.judged) == ((), {"moot": 1})
    assert [each.state for each in await lines(desk, made)] == ["moot"]


async def test_the_acknowledgment_of_one_person_stops_nothing_for_another(desk):
    await address(desk, "ann")
    await address(desk, "bob")
    made = await post(desk, "ann", "bob")
    await acknowledge(desk, made)

    await escalate(desk)

    assert [each.user for each in await lines(desk, made)] == ["bob"]


async def test_a_send_is_claimed_by_one_node_until_its_lease_is_over(desk):
    await address(desk, "ann")
    made = await post(desk, "ann")
    await escalate(desk)

    first = await claim(desk, node="a")
    second = await claim(desk, node="b")
    later = await claim(desk, DUE + MINUTE, node="b")

    [mine] = first.sends
    assert (mine.user, mine.value, mine.attempts) == ("ann", "ann@example.org", 1)
    assert (second.sends, second.next_at, second.waiting) == ((), DUE + MINUTE, 1)
    assert [each.attempts for each in later.sends] == [2]
    # The first node settles too late, and changes nothing.
    await desk.one(settled(first, node="a"), Done)
    assert [each.state for each in await lines(desk, made)] == ["waiting"]
    await desk.one(settled(later, node="b"), Done)
    assert [(each.state, each.attempts, each.sent_at) for each in await lines(desk, made)] == [
        ("sent", 2, DUE)
    ]


async def test_a_claim_that_is_settled_twice_counts_once(desk):
    await address(desk, "ann")
    made = await post(desk, "ann")
    await escalate(desk)
    claimed = await claim(desk)

    await desk.one(settled(claimed), Done)
    await desk.one(settled(claimed, "dead"), Done)

    assert [each.state for each in await lines(desk, made)] == ["sent"]


async def test_a_send_that_may_be_taken_later_waits(desk):
    await address(desk, "ann")
    await post(desk, "ann")
    await escalate(desk)
    claimed = await claim(desk)

    await desk.one(settled(claimed, "waiting", next_at=DUE + 10_000), Done)

    assert (await claim(desk, DUE + 9_999)).sends == ()
    assert [each.attempts for each in (await claim(desk, DUE + 10_000)).sends] == [2]


async def test_many_recipients_are_gone_over_in_pages(desk):
    users = [f"u{number:02}" for number in range(25)]
    for user in users:
        await address(desk, user)
    made = await post(desk, *users)

    pages = [await escalate(desk, limit=10) for _ in range(4)]

    assert [page.sends for page in pages] == [10, 10, 5, 0]
    assert sorted(each.user for each in await lines(desk, made)) == users


async def test_going_over_a_page_again_sends_nothing_twice(desk, database):
    await address(desk, "ann")
    made = await post(desk, "ann", plan=(MAIL, MAIL_UNLESS_READ))
    await escalate(desk)
    await database.execute("UPDATE escalations SET step = 0")

    await escalate(desk)

    assert [each.step for each in await lines(desk, made)] == [0]


async def test_subscribers_who_are_behind_are_brought_up_to_date_first(desk):
    await desk.subscribe("news", "ann", "bob")
    await address(desk, "ann")
    await address(desk, "bob")
    made = await post(desk, topic="news")

    first = await escalate(desk)
    await desk.bring(*first.behind)
    second = await escalate(desk)

    assert (first.sends, first.behind) == (0, ("ann", "bob"))
    assert (second.sends, second.behind) == (2, ())
    assert sorted(each.user for each in await lines(desk, made)) == ["ann", "bob"]


async def test_a_subscriber_who_joined_later_or_left_is_not_concerned(desk):
    await desk.subscribe("news", "ann")
    await post(desk, topic="news")
    await desk.subscribe("news", "bob")
    for user in ("ann", "bob"):
        await address(desk, user)
    await desk.unsubscribe("news", "ann")

    assert (await escalate(desk)).sends == 0


async def test_a_scheduled_notification_escalates_from_its_delivery_on(desk):
    await address(desk, "ann")
    deliver_at = START_OF_TIME + 1000
    await post(desk, "ann", deliver_at=deliver_at)

    assert (await escalate(desk, DUE)).next_at == deliver_at + MINUTE
    # The release is late: the step waits for it, and for its time.
    late = await escalate(desk, deliver_at + MINUTE)
    assert (late.sends, late.next_at) == (0, deliver_at + 2 * MINUTE + 1000)
    await desk.release(deliver_at + MINUTE)
    assert (await escalate(desk, deliver_at + 2 * MINUTE + 1000)).sends == 1


async def test_collapsing_begins_the_plan_anew(desk):
    await address(desk, "ann")
    first = await post(desk, "ann", collapse_key="pump")
    await escalate(desk)
    assert len((await claim(desk)).sends) == 1
    desk.now_ms = DUE
    again = await post(desk, "ann", collapse_key="pump")

    assert again == first
    assert (await escalate(desk, DUE)).next_at == DUE + MINUTE
    assert [each.state for each in await lines(desk, first)] == ["moot"]
    assert (await escalate(desk, DUE + MINUTE)).sends == 1


async def test_collapsing_without_a_plan_ends_the_plan(desk):
    await address(desk, "ann")
    await post(desk, "ann", collapse_key="pump")
    await post(desk, "ann", collapse_key="pump", plan=())

    assert (await escalate(desk)).next_at is None


async def test_a_scheduled_notification_that_collapses_takes_its_plan_along(desk):
    await address(desk, "ann")
    older = await post(desk, "ann", collapse_key="pump", plan=())
    await post(desk, "ann", collapse_key="pump", deliver_at=START_OF_TIME + 1000)
    await desk.release(START_OF_TIME + 1000)

    await escalate(desk, START_OF_TIME + 1000 + MINUTE)

    assert [each.user for each in await lines(desk, older)] == ["ann"]


async def prefer(desk: Desk, user: str, categories: dict[str, bool] | None = None, **channels: Any):
    command = SetPreferences(
        user, categories or {}, {}, desk.now_ms, ChannelPreferences(**channels)
    )
    await desk.write(command)


async def test_a_channel_that_is_off_gets_no_send_but_a_line_that_says_why(desk):
    await address(desk, "ann")
    await prefer(desk, "ann", channels={"email": False})
    made = await post(desk, "ann", priority="critical")

    await escalate(desk)

    assert (await claim(desk)).sends == ()
    assert [(each.state, each.reason) for each in await lines(desk, made)] == [
        ("off", "the person's preferences")
    ]


async def test_preferences_that_change_before_the_claim_count(desk):
    await address(desk, "ann")
    made = await post(desk, "ann")
    await escalate(desk)
    await desk.one(MuteChannel("ann", "default", "email"), Done)

    assert (await claim(desk)).judged == {"off": 1}
    assert [each.state for each in await lines(desk, made)] == ["off"]
    [kept] = await desk.read(ReadPreferences("ann"))
    assert kept.channels == ChannelPreferences(categories={"default": {"email": False}})


async def test_quiet_hours_put_a_send_off_to_their_end(desk):
    # START_OF_TIME is 22:13:20 in UTC.
    await address(desk, "ann")
    await prefer(desk, "ann", quiet=QuietHours("22:00", "07:00", "Etc/UTC"))
    made = await post(desk, "ann")
    urgent = await post(desk, "ann", priority="critical")
    morning = 1_700_031_600_000

    await escalate(desk)

    [line] = await lines(desk, made)
    assert (line.state, line.next_at) == ("waiting", morning)
    assert [each.notification for each in (await claim(desk)).sends] == [urgent]
    assert [each.notification for each in (await claim(desk, morning)).sends][:1] == [made]


async def test_a_digest_gathers_and_goes_out_in_one_piece_in_order(desk):
    gathering = EscalationStep(after=60, channel="email", digest=3600)
    await address(desk, "ann")
    first = await post(desk, "ann", plan=(gathering,))
    await escalate(desk)
    desk.now_ms = START_OF_TIME + 10 * MINUTE
    second = await post(desk, "ann", plan=(gathering,))
    await escalate(desk, START_OF_TIME + 11 * MINUTE)
    out = DUE + 60 * MINUTE

    early = await claim(desk, out - 1)
    claimed = await desk.one(ClaimSends("email", "a", out, 1, MINUTE), SendsClaimed)

    assert (early.sends, early.next_at) == ((), out)
    assert [each.notification for each in claimed.sends] == [first, second]


async def test_a_page_of_sends_ends_where_it_is_told(desk):
    for user in ("ann", "bob", "cy"):
        await address(desk, user)
    made = await post(desk, "ann", "bob", "cy")
    await escalate(desk)

    [first] = await desk.read(ListSends(made, 2))
    [second] = await desk.read(ListSends(made, 2, first.sends[-1].id))

    assert (len(first.sends), first.more) == (2, True)
    assert (len(second.sends), second.more) == (1, False)


async def test_a_purged_notification_leaves_no_plan_and_no_send(desk, database):
    await address(desk, "ann")
    made = await post(desk, "ann", plan=(MAIL, MAIL_UNLESS_READ))
    await escalate(desk)
    late = START_OF_TIME + 1_000_000_000
    await desk.one(Purge(0, 0, created_before=late, limit=1000), Purged)

    assert await desk.ask(ListSends(made, 10), NotFound) == NotFound()
    assert await database.fetch("SELECT id FROM sends") == []
    assert await database.fetch("SELECT notification_id FROM escalations") == []
