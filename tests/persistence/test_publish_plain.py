"""Posts that depend on nothing but their users go a shorter way, or two, and come to the same.

Each test runs with its own posts only, beside so many others that they are few no more, and beside
one to a topic, with which all go the long way.
"""

from __future__ import annotations

import pytest

from tests.persistence.desk_kit import answer, positions, publish, told
from tocsin.persistence.scripts.logs.publish_plain import FEW_MAX, are_plain
from tocsin.persistence.store.commands import Changed, KeyReused, Replayed
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import EVERYONE

_OTHERS = {"few": 0, "many": FEW_MAX, "planned": 1}
each_way = pytest.mark.parametrize("way", list(_OTHERS))


async def written(desk, way, *commands):
    """The results of *commands*, which go to the store beside what makes them go this *way*."""
    topic = "other" if way == "planned" else None
    users = () if topic else ("zoe",)
    others = [publish(*users, topic=topic) for _ in range(_OTHERS[way])]
    results = await desk.write(*commands, *others)
    assert all(isinstance(result, Changed) for result in results[len(commands) :])
    return results[: len(commands)]


@each_way
async def test_posts_to_the_same_users_are_numbered_in_their_order(desk, way):
    await desk.publish("ann")
    posts = [publish("ann", "bob"), publish("bob"), publish("bob", "ann"), publish("cid")]

    first, second, third, fourth = await written(desk, way, *posts)

    assert set(positions(first)) == {Position("ann", 2, 2, 2), Position("bob", 1, 1, 1)}
    assert positions(second) == (Position("bob", 2, 2, 2),)
    assert set(positions(third)) == {Position("ann", 3, 3, 3), Position("bob", 3, 3, 3)}
    assert positions(fourth) == (Position("cid", 1, 1, 1),)
    assert [each.recipients for each in (first, second, third, fourth)] == [2, 1, 2, 1]
    page = await desk.page("bob")
    assert [each.notification for each in page.entries] == [
        each.content.id for each in (first, second, third)
    ]
    assert (page.head, page.counters.unread, page.counters.unseen) == (3, 3, 3)


@each_way
async def test_users_who_have_muted_the_category_get_nothing_unless_it_is_critical(desk, way):
    await desk.prefer("ann", categories={"ads": False})
    posts = [
        publish("ann", "bob", category="ads"),
        publish("ann", category="ads"),
        publish("ann", category="ads", priority="critical"),
        publish("ann", category="news"),
    ]

    both, nobody, critical, other = await written(desk, way, *posts)

    assert told(both.fan_outs) == [(both.content.id, "created", {"bob": 1})]
    assert (nobody.fan_outs, nobody.recipients) == ((), 1)
    assert positions(critical) == (Position("ann", 1, 1, 1),)
    assert positions(other) == (Position("ann", 2, 2, 2),)
    assert (await desk.view(nobody.content.id)).standing == "active"


@each_way
async def test_a_post_that_was_stored_before_is_answered_and_not_done_again(desk, way):
    before = publish("ann")
    await desk.write(before)
    new = publish("ann")

    first, second = await written(desk, way, before, new)

    assert first == Replayed(answer(before))
    assert positions(second) == (Position("ann", 2, 2, 2),)


@each_way
async def test_of_posts_with_the_same_key_the_first_is_done(desk, way):
    posts = [
        publish("ann", key="k"),
        publish("ann", key="k"),
        publish("ann", key="k", fingerprint=b"other"),
        publish("ann"),
    ]

    first, second, third, fourth = await written(desk, way, *posts)

    assert positions(first) == (Position("ann", 1, 1, 1),)
    assert second == Replayed(answer(posts[0]))
    assert third == KeyReused()
    assert positions(fourth) == (Position("ann", 2, 2, 2),)
    assert await written(desk, way, posts[1]) == [Replayed(answer(posts[0]))]


@each_way
async def test_the_same_post_twice_in_a_batch_is_done_once(desk, way):
    post = publish("ann")

    first, second = await written(desk, way, post, post)

    assert positions(first) == (Position("ann", 1, 1, 1),)
    assert second == Replayed(answer(post))


@each_way
async def test_users_who_become_known_get_what_is_published_to_everyone_later(desk, way):
    await desk.write(publish("zoe"))
    await written(desk, way, publish("ann", "bob"), publish("bob"))

    made = await desk.publish(topic=EVERYONE)
    await desk.bring("ann", "bob")

    assert made.recipients == 3
    assert [len(await desk.entries(user)) for user in ("ann", "bob")] == [2, 3]


@pytest.mark.parametrize(
    "post",
    [
        publish("ann", topic="news"),
        publish("ann", collapse_key="k"),
        publish("ann", deliver_at=1),
        publish("ann", key="k", overdue=True),
    ],
    ids=["topic", "collapse key", "schedule", "overdue"],
)
def test_a_post_that_depends_on_more_than_its_users_takes_its_batch_along(post):
    assert are_plain([(0, publish("ann")), (1, publish("ann"))])
    assert not are_plain([(0, publish("ann")), (1, post)])
