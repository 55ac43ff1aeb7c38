"""How many rows a command is."""

from __future__ import annotations

import msgspec

from tests.persistence.desk_kit import START_OF_TIME, publish
from tocsin.actors.storage.batch_weights import ROWS_MAX, Weights
from tocsin.persistence.store.commands import Changed, Publish, Update, Withdraw
from tocsin.persistence.store.key_commands import RevokeKey
from tocsin.persistence.store.upkeep_commands import Expire
from tocsin.persistence.store.user_commands import MarkInbox, Materialise, SetPreferences, Subscribe
from tocsin.protocol.notifications.notification import Patch


def small() -> Weights:
    """Weights that remember two notifications."""
    return Weights(unknown=30, remembered_max=2)


def stored(new: Publish, recipients: int) -> Changed:
    return Changed(new.content, (), "active", recipients)


def to(recipients: int) -> Publish:
    return publish(*map(str, range(recipients)))


def withdrawal(of: Publish) -> Withdraw:
    return Withdraw(of.content.id, START_OF_TIME)


def update(of: Publish) -> Update:
    return Update(of.content.id, Patch(title="New"), START_OF_TIME)


def test_publishes_are_weighed_by_their_users():
    assert [Weights().rows(to(count)) for count in (1, 3, 900)] == [1, 3, 900]


def test_so_is_what_names_users_ids_or_topics():
    rows, users = Weights().rows, tuple(map(str, range(200)))
    assert rows(Materialise(users, 0)) == ROWS_MAX
    assert rows(Subscribe("news", users, 0)) == ROWS_MAX
    ids = tuple(map(str, range(500)))
    assert rows(MarkInbox("ada", "read", 0, ids=ids)) > 500
    assert rows(SetPreferences("ada", dict.fromkeys(ids, False), {}, 0)) > 500


def test_upkeep_is_as_much_as_there_may_be_and_what_concerns_nobody_is_next_to_nothing():
    assert Weights().rows(Expire(0, 500)) == ROWS_MAX
    assert Weights().rows(RevokeKey("key", 0)) == 1


def test_changes_are_weighed_by_what_was_seen_of_their_notifications():
    seen, one, two = small(), to(1), to(2)
    seen.learn(stored(one, 1))
    seen.learn(stored(two, 2))
    assert [seen.rows(each) for each in (withdrawal(two), update(two), update(one))] == [2, 2, 1]


def test_a_notification_of_which_nothing_is_known_may_have_many():
    assert [small().rows(each) for each in (withdrawal(to(1)), update(to(1)))] == [30, 30]


def test_a_notification_of_a_topic_is_one_entry():
    seen, news = small(), to(0)
    news = msgspec.structs.replace(
        news, content=msgspec.structs.replace(news.content, topic="news")
    )
    seen.learn(stored(news, 100_000))
    assert (seen.rows(news), seen.rows(withdrawal(news))) == (1, 1)


def test_the_latest_are_remembered():
    seen, made = small(), [to(1), to(1), to(1)]
    for each in (*made[:2], made[0], made[2]):
        seen.learn(stored(each, 1))
    assert [seen.rows(withdrawal(each)) for each in made] == [1, 30, 1]
