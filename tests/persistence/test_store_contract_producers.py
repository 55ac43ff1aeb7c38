"""The producers' views of their notifications, on each store."""

from __future__ import annotations

from tests.persistence.desk_kit import START_OF_TIME, sent
from tocsin.persistence.store.queries import FindNotification

# --- The producer's view ------------------------------------------------------------------------


async def test_a_producer_sees_how_far_the_recipients_are(desk, database):
    made = await desk.publish("pending", "delivered", "seen", "read", "dead", "half-dead")
    id_ = made.content.id
    for user in ("delivered", "seen", "read", "half-dead"):
        await desk.sent(user, "phone", id_, 1, acknowledged_at=5)
        await desk.sent(user, "tablet", id_, 1, acknowledged_at=6)
    await desk.sent("dead", "phone", id_, 1, dead="unresponsive")
    await desk.sent("dead", "tablet", id_, 1, dead="unresponsive")
    await desk.sent("half-dead", "watch", id_, 1, dead="unresponsive")
    await database.execute("UPDATE inbox SET seen_at = 7 WHERE user_id IN ('seen', 'read')")
    await database.execute("UPDATE inbox SET read_at = 8 WHERE user_id = 'read'")

    view = await desk.view(id_)

    assert (view.content, view.standing) == (made.content, "active")
    counts = (view.recipients, view.delivered, view.seen, view.read, view.expired, view.dead)
    assert counts == (6, 4, 2, 1, 0, 1)


async def test_expired_counts_those_whom_nothing_else_became_of(desk):
    made = await desk.publish("late", "delivered", "dead", expires_at=START_OF_TIME + 1)
    await desk.sent("delivered", "phone", made.content.id, 1, acknowledged_at=5)
    await desk.sent("dead", "phone", made.content.id, 1, dead="unresponsive")
    await desk.expire(START_OF_TIME + 1)

    view = await desk.view(made.content.id)

    assert (view.standing, view.delivered, view.expired, view.dead) == ("expired", 1, 1, 1)


async def test_an_unknown_notification_is_not_found(desk):
    made = await desk.publish("ann")

    answers = await desk.read(
        FindNotification("nothing"), FindNotification(made.content.id), FindNotification("")
    )

    assert [type(answer).__name__ for answer in answers] == ["NotFound", "ProducerView", "NotFound"]


async def test_delivered_is_the_first_acknowledgment_of_any_device(desk, database):
    made = await desk.publish("ann")

    await desk.write(
        sent("ann", "phone", made.content.id, 1, acknowledged_at=9),
        sent("ann", "tablet", made.content.id, 1, acknowledged_at=8),
    )
    await desk.sent("ann", "watch", made.content.id, 1, acknowledged_at=7)

    await database.execute("UPDATE users SET horizon = (SELECT max(delivered_at) FROM inbox)")
    assert (await desk.page("ann")).horizon == 8
