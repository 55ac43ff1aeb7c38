"""What a commit means to those who are online. The directories are played."""

from __future__ import annotations

from typing import Any

from tocsin.actors.publishing.announcer import Announcer
from tocsin.persistence.store import (
    Attached,
    Counters,
    Expired,
    LetterReplayed,
    Marked,
    Materialised,
)
from tocsin.protocol.cursor import Start


class Heard:
    """Notes the calls of all three directories; *online* are the users that are found."""

    def __init__(self, *online: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._online = online

    def find(self, user: str) -> object | None:
        return self if user in self._online else None

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.calls.append((name, *args))


def test_a_mark_that_changes_nothing_may_have_brought_what_is_new_in_topics():
    heard: Any = Heard()

    Announcer(heard, heard, heard)(Marked("ann", 0, 4, Counters(1, 1), more=False))

    assert heard.calls == [("head_moved", "ann", 4)]


def test_a_letter_whose_notification_lives_again_tells_when_that_expires():
    heard: Any = Heard()

    Announcer(heard, heard, heard)(LetterReplayed("ann", 4, 1000))
    assert heard.calls == [("head_moved", "ann", 4), ("will_expire", 1000)]

    heard.calls.clear()
    Announcer(heard, heard, heard)(LetterReplayed("ann", 5))
    assert heard.calls == [("head_moved", "ann", 5)]


def test_who_had_what_has_expired_is_told_to_count_again():
    heard: Any = Heard()

    Announcer(heard, heard, heard)(Expired(2, None, ("news",), ("ann", "bob")))
    Announcer(heard, heard, heard)(Materialised((), (), ("cem",)))

    users = [("recounted", "ann"), ("recounted", "bob"), ("recounted", "cem")]
    assert heard.calls == [("advanced", "news"), *users]


def test_who_arrives_is_present_in_their_topics_unless_they_have_left():
    heard: Any = Heard("ann")

    for user in ("ann", "bob"):
        Announcer(heard, heard, heard)(attached(user, "news", "sport"))

    assert heard.calls == [("present", "ann", ("news", "sport"))]


def attached(user: str, *topics: str) -> Attached:
    start = Start(0, resumed=False, reset=None)
    return Attached(user, start, 0, Counters(0, 0), 0, topics=topics, behind=False)
