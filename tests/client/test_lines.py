"""How a push looks in a terminal."""

from datetime import datetime

import pytest

from tocsin.client.lines import plain, push_line
from tocsin_client.frames import Notification, Push

AT = datetime(2026, 1, 2, 13, 14, 15)  # noqa: DTZ001 (local time, as a person reads it)


def line(change="created", attempt=1, **fields):
    notification = Notification("1", **{"title": "Hello", "updated_at": "", **fields})
    return push_line(Push(2, 1, change, notification, attempt=attempt), AT)


def test_a_notification_is_time_category_and_title():
    assert line() == "13:14:15  default  Hello"


def test_body_link_and_urgency_are_shown_where_there_are_some():
    text = line(category="ops", body="All is lost", url="https://x.example", priority="critical")
    assert text == "13:14:15  ops  !!  Hello: All is lost  https://x.example"


@pytest.mark.parametrize(
    ("change", "state", "word"),
    [
        ("updated", "unseen", "updated"),
        ("withdrawn", "withdrawn", "withdrawn"),
        ("state", "read", "read"),
    ],
)
def test_the_state_of_an_old_notification_is_said(change, state, word):
    assert line(change, state=state) == f"13:14:15  default  ({word})  Hello"


def test_another_attempt_is_marked():
    assert line(attempt=3) == "13:14:15  default  Hello  (attempt 3)"


def test_a_long_body_is_cut():
    assert line(body="x" * 5000).endswith("x…")
    assert len(line(body="x" * 5000)) < 300


def test_nothing_in_it_steers_the_terminal_or_fakes_a_line():
    text = line(title="\x1b[31mred\x1b[0m\nfake", body="a\u2028b\u202ec\r\nd\x9b2J")
    assert text == "13:14:15  default  [31mred [0m fake: a b c d 2J"


def test_other_scripts_are_left_alone():
    assert plain("日本語 Ελληνικά 🙂") == "日本語 Ελληνικά 🙂"
