"""How much goes into one transaction."""

from __future__ import annotations

import msgspec
import pytest

from tests.persistence.desk import START_OF_TIME, publish
from tocsin.actors import weights
from tocsin.actors.weights import Weights
from tocsin.persistence.store import Changed, Publish, RevokeKey, Update, Withdraw
from tocsin.protocol.notification import Patch

KEY = RevokeKey("key", 0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(weights, "_RECIPIENTS_MAX", 5)
    monkeypatch.setattr(weights, "_UNKNOWN", 3)
    monkeypatch.setattr(weights, "_REMEMBERED", 2)


def stored(new: Publish, recipients: int) -> Changed:
    return Changed(new.content, (), "active", recipients)


def to(recipients: int) -> Publish:
    return publish(*map(str, range(recipients)))


def withdrawal(of: Publish) -> Withdraw:
    return Withdraw(of.content.id, START_OF_TIME)


def update(of: Publish) -> Update:
    return Update(of.content.id, Patch(title="New"), START_OF_TIME)


def test_publishes_are_weighed_by_their_users():
    assert Weights().fitting([to(3), to(2), to(1)]) == 2


def test_one_fits_however_much_it_is_and_what_concerns_nobody_fits_behind_it():
    assert Weights().fitting([to(9), KEY, KEY, to(1)]) == 3
    assert Weights().fitting([]) == 0


def test_changes_are_weighed_by_what_was_seen_of_their_notifications():
    seen, one, two = Weights(), to(1), to(2)
    seen.learn(stored(one, 1))
    seen.learn(stored(two, 2))
    assert seen.fitting([withdrawal(two), update(two), update(one), withdrawal(one)]) == 3


def test_a_notification_of_which_nothing_is_known_may_have_many():
    assert Weights().fitting([withdrawal(to(1)), update(to(1))]) == 1


def test_a_notification_of_a_topic_is_one_entry():
    seen, news = Weights(), to(0)
    news = msgspec.structs.replace(
        news, content=msgspec.structs.replace(news.content, topic="news")
    )
    seen.learn(stored(news, 100_000))
    assert seen.fitting([withdrawal(news)] * 6) == 5


def test_the_latest_are_remembered():
    seen, made = Weights(), [to(1), to(1), to(1)]
    for each in (*made[:2], made[0], made[2]):
        seen.learn(stored(each, 1))
    assert seen.fitting([withdrawal(made[0]), withdrawal(made[2])] * 3) == 5
    assert seen.fitting([withdrawal(made[1])] * 3) == 1
