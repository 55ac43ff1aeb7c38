"""When a long poll has enough to answer with, and what it has then."""

from __future__ import annotations

import json

from tests.protocol.session_kit import a_session, an_entry, pushed
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.push import Push
from tocsin.server.follow.poll_outlet import PollOutlet
from tocsin.server.turnstile import AnswerLine


def an_outlet(limit: int = 3, bytes_max: int = 1000, horizon: int = 0) -> PollOutlet:
    outlet = PollOutlet("7.1", limit, bytes_max, AnswerLine(1))
    outlet.begin(Cursor("e", 4, horizon=horizon))
    return outlet


def a_push(sequence: int, size: int = 10) -> Push:
    return pushed(
        a_session(start=sequence - 1, window_bytes=1 << 20), an_entry(sequence, size=size)
    )


def changes(outlet: PollOutlet) -> list[int]:
    return [json.loads(change.replace(b"x" * 10, b"0"))["sequence"] for change in outlet.changes]


def test_a_device_that_misses_nothing_waits_for_a_push():
    outlet = an_outlet()
    outlet.say(frames.Synced(6))

    assert outlet.looked.is_set()
    assert not outlet.enough.is_set()
    assert outlet.cursor == Cursor("e", 6)

    outlet.push(a_push(7))
    assert outlet.enough.is_set()
    assert outlet.cursor == Cursor("e", 7)
    assert outlet.caught_up


def test_a_replay_is_answered_when_it_is_complete():
    outlet = an_outlet()
    outlet.push(a_push(5))
    outlet.push(a_push(6))
    assert not outlet.looked.is_set()

    outlet.say(frames.Synced(9))

    assert outlet.enough.is_set()
    assert changes(outlet) == [5, 6]
    assert outlet.cursor == Cursor("e", 9)


def test_a_replay_is_answered_when_the_limit_is_reached():
    outlet = an_outlet(limit=2)
    outlet.push(a_push(5))
    outlet.push(a_push(6))

    assert outlet.enough.is_set()
    assert not outlet.caught_up


def test_a_replay_is_answered_when_the_window_is_full():
    outlet = an_outlet(bytes_max=100)
    outlet.push(a_push(5, size=100))

    assert outlet.enough.is_set()
    assert not outlet.caught_up


def test_a_reset_is_told_even_if_nothing_is_left():
    outlet = an_outlet()
    outlet.say(frames.Reset("epoch"))
    outlet.say(frames.Synced(0))

    assert outlet.enough.is_set()
    assert outlet.reset == "epoch"


def test_a_log_that_is_purged_under_the_poll_begins_anew():
    outlet = an_outlet()
    outlet.push(a_push(5))
    outlet.begin(Cursor("e", 0, horizon=7))
    outlet.say(frames.Reset("horizon"))
    outlet.push(a_push(2))

    assert changes(outlet) == [2]
    assert str(outlet.cursor) == "e.2~7"


def test_an_end_is_answered_at_once_with_what_there_is():
    outlet = an_outlet()
    outlet.say(frames.Synced(4))
    outlet.end(Closing.DRAINING, 3.0, "It stops.")
    outlet.end(Closing.REPLACED)

    assert outlet.enough.is_set()
    assert (outlet.closing, outlet.after, outlet.detail) == (Closing.DRAINING, 3.0, "It stops.")


def test_counters_that_changed_are_an_answer():
    outlet = an_outlet()
    outlet.say(frames.Synced(6))
    outlet.say(frames.Counters(1, 0))

    assert outlet.enough.is_set()
    assert (changes(outlet), outlet.unread, outlet.unseen) == ([], 1, 0)
