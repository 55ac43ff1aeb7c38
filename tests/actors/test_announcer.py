"""Devices that are online hear of each commit that concerns them. The directories are played."""

from __future__ import annotations

from typing import Any

from tocsin.actors.delivery.messages import Acknowledged, DeviceRemoved
from tocsin.actors.publishing.announcer import Announcer
from tocsin.actors.runtime.errors import MailboxFull
from tocsin.persistence.store.commands import Counters, Done
from tocsin.persistence.store.upkeep_commands import Expired, LetterReplayed
from tocsin.persistence.store.user_commands import Attached, Marked, Materialised
from tocsin.protocol.log.cursor import Start
from tocsin.protocol.log.news import AckStored, DeviceForgotten, LogAppended, Position, SharedPart


class Heard:
    """Notes the calls of all three directories; *online* are the users that are found."""

    def __init__(self, *online: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._online = online

    def find(self, user: str) -> object | None:
        return self if user in self._online else None

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **named: self.calls.append((name, *args))


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


def test_users_with_an_expired_notification_are_told_to_count_again():
    heard: Any = Heard()

    Announcer(heard, heard, heard)(Expired(2, None, ("news",), ("ann", "bob")))
    Announcer(heard, heard, heard)(Materialised((), (), ("cem",)))

    users = [("recounted", "ann"), ("recounted", "bob"), ("recounted", "cem")]
    assert heard.calls == [("advanced", "news"), *users]


def test_a_user_who_arrives_is_present_in_the_topics_unless_gone():
    heard: Any = Heard("ann")

    for user in ("ann", "bob"):
        Announcer(heard, heard, heard)(attached(user, "news", "sport"))

    assert heard.calls == [("present", "ann", ("news", "sport"))]


def test_an_acknowledgment_past_the_session_and_a_removed_device_are_told_here_and_elsewhere():
    heard: Any = Heard()
    acknowledged = AckStored("ann", "phone", 3, ("n1",), "a/1")
    forgotten = DeviceForgotten("ann", "phone")

    for result in (acknowledged, forgotten, Done()):
        Announcer(heard, heard, heard, heard)(result)

    assert heard.calls == [
        ("tell", "ann", Acknowledged("phone", 3, ("n1",), "a/1")),
        ("announce", (acknowledged,)),
        ("tell", "ann", DeviceRemoved("phone")),
        ("announce", (forgotten,)),
    ]


def test_a_session_that_has_no_room_for_an_acknowledgment_does_not_keep_it_from_the_others():
    heard: Any = Heard()

    def full(*args: object) -> None:
        raise MailboxFull

    heard.tell = full
    Announcer(heard, heard, heard, heard)(AckStored("ann", "phone", 3, (), None))

    assert [name for name, *_ in heard.calls] == ["announce"]


def test_the_shared_part_of_a_change_is_made_once_however_many_news_bring_it():
    heard: Any = Heard()
    shared: list[object] = []

    def fan_out(change: object, *rest: object) -> int:
        shared.append(change)
        return 1

    heard.fan_out = fan_out
    announcer = Announcer(heard, heard, heard)
    part = SharedPart("n", "created", "{}", None)

    for user in ("ann", "bob"):
        announcer.dispatch(LogAppended(part, (Position(user, 1, 1, 1),), {}))

    assert shared[0] is shared[1]
    assert heard.calls == []


def test_acknowledgments_are_expected_from_those_who_were_told_of_what_is_awaited():
    heard: Any = Heard()
    heard.fan_out = lambda change, positions, states: len(positions) - 1
    part, positions = SharedPart("n", "created", "{}", None), (Position("ann", 1, 1, 1),)

    for told in (1, 2):
        news = LogAppended(part, positions * told, {}, awaited=True)
        Announcer(heard, heard, heard).dispatch(news)

    assert heard.calls == [("expect", "n", 1)]


def attached(user: str, *topics: str) -> Attached:
    start = Start(0, resumed=False, reset=None)
    return Attached(user, start, 0, Counters(0, 0), 0, topics=topics, behind=False)
