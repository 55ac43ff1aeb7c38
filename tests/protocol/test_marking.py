"""The effects of marks on states, and on the times that go with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.notifications.marking import counted, marked, states_changed, times
from tocsin.protocol.notifications.notification import State

MARKS = ("seen", "read", "unread", "archived")
# State -> what each of MARKS makes of it; "-" means nothing.
LISTED = {
    "unseen": ("seen", "read", "-", "archived"),
    "seen": ("-", "read", "-", "archived"),
    "read": ("-", "-", "seen", "archived"),
    "archived": ("-", "-", "-", "-"),
    "withdrawn": ("-", "-", "-", "-"),
}
NAMED = LISTED | {"archived": ("-", "read", "seen", "-")}

states = st.sampled_from(list(State))
marks = st.sampled_from(MARKS)


@pytest.mark.parametrize(("table", "by_id"), [(LISTED, False), (NAMED, True)], ids=["all", "ids"])
@pytest.mark.parametrize("state", State)
def test_marks_change_a_state_as_the_table_says(table, by_id, state):
    made = [marked(state, mark, by_id=by_id) or "-" for mark in MARKS]

    assert tuple(made) == table[state]


@given(states, marks, st.booleans())
def test_the_same_mark_again_changes_nothing(state, mark, by_id):
    once = marked(state, mark, by_id=by_id) or state

    assert marked(once, mark, by_id=by_id) is None


@pytest.mark.parametrize("mark", MARKS)
def test_the_states_that_a_mark_changes_are_those_of_the_table(mark):
    changed = {state for state in State if marked(state, mark, by_id=False) is not None}

    assert states_changed(mark) == changed


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (State.UNSEEN, (1, 1)),
        (State.SEEN, (1, 0)),
        (State.READ, (0, 0)),
        (State.ARCHIVED, (0, 0)),
        (State.WITHDRAWN, (0, 0)),
    ],
)
def test_a_seen_notification_is_still_unread(state, counts):
    assert counted(state) == counts


def test_seen_and_read_are_when_it_happened_first():
    assert times(State.SEEN, None, None, 7) == (7, None)
    assert times(State.READ, None, None, 7) == (7, 7)
    assert times(State.READ, 3, None, 7) == (3, 7)
    assert times(State.READ, 3, 5, 7) == (3, 5)


def test_a_notification_marked_unread_has_been_seen_but_not_read():
    assert times(State.SEEN, 3, 5, 7) == (3, None)


@pytest.mark.parametrize("at", [None, 3])
def test_archiving_says_nothing_about_reading(at):
    assert times(State.ARCHIVED, at, at, 7) == (at, at)
