"""The possible places of a notification, by its deeds and their times."""

import math

import pytest

from simulation.checks.known import inbox_model as model
from simulation.checks.known.inbox_model import UNSEEN, Deed, Register, possible

ARRIVES = Deed(1.0, 2.0, model.arrives)


def after(*deeds, now=math.inf):
    """The possible states and ends after *deeds*, as text."""
    return sorted(" ".join(filter(None, place)) for place in possible(deeds, now))


def mark(name, since, until, *, by_id=True, sure=True):
    return Deed(since, until, model.marked(name, by_id=by_id), sure)


def test_a_notification_that_was_never_posted_is_nowhere():
    assert after() == ["absent"]


def test_an_answered_post_is_there():
    assert possible([ARRIVES]) == [UNSEEN]


def test_an_unanswered_post_may_be_there():
    assert after(Deed(1.0, math.inf, model.arrives, sure=False)) == ["absent", "unseen"]


def test_a_post_that_has_not_been_sent_yet_is_not_there():
    assert after(ARRIVES, now=0.5) == ["absent"]


def test_marks_that_follow_one_another_are_done_in_order():
    assert after(ARRIVES, mark("read", 3, 4), mark("unread", 5, 6)) == ["seen"]
    assert after(ARRIVES, mark("unread", 3, 4), mark("read", 5, 6)) == ["read"]


def test_marks_that_overlap_may_be_done_in_any_order():
    assert after(ARRIVES, mark("read", 3, 6), mark("unread", 5, 8)) == ["read", "seen"]


def test_a_mark_of_which_nobody_knows_may_be_done_at_any_later_time():
    late = mark("archived", 3, math.inf, sure=False)
    assert after(ARRIVES, late, mark("read", 5, 6)) == ["archived", "read"]


@pytest.mark.parametrize(("by_id", "state"), [(True, "read"), (False, "archived")])
def test_only_who_names_it_brings_back_what_is_archived(by_id, state):
    archived = mark("archived", 3, 4)
    assert after(ARRIVES, archived, mark("read", 5, 6, by_id=by_id)) == [state]


def test_a_withdrawn_notification_stays_so():
    withdrawn = Deed(3.0, 4.0, model.withdrawn(of_topic=False))
    assert after(ARRIVES, withdrawn, mark("read", 5, 6)) == ["withdrawn"]


def test_a_user_who_was_not_brought_it_before_is_not_told_of_a_withdrawal():
    withdrawn = Deed(3.0, 4.0, model.withdrawn(of_topic=True))
    assert after(ARRIVES, withdrawn) == ["absent called off", "withdrawn"]


def test_a_notification_called_off_before_it_came_never_comes():
    called_off = Deed(0.5, 0.6, model.withdrawn(of_topic=False))
    assert after(ARRIVES, called_off) == ["absent called off"]


def test_an_expired_notification_cannot_be_marked_and_a_replayed_one_can():
    expired = Deed(3.0, 4.0, model.expired(of_topic=False))
    revived = Deed(7.0, 8.0, model.revived)
    assert after(ARRIVES, expired, mark("read", 5, 6)) == ["unseen expired"]
    assert after(ARRIVES, expired, revived, mark("read", 9, 10)) == ["read"]


def test_a_notification_under_purge_may_be_there_or_have_gone_as_it_was():
    purged = Deed(5.0, math.inf, model.purged(), sure=False)
    marked = mark("read", 6, 7)
    assert after(ARRIVES, purged, marked) == ["read", "read purged", "unseen purged"]


def test_only_what_is_archived_is_purged_with_the_archive():
    purged = Deed(3.0, math.inf, model.purged(state="archived"), sure=False)
    assert after(ARRIVES, purged) == ["unseen"]
    assert after(ARRIVES, mark("archived", 3, 4), purged) == ["archived", "archived purged"]


def test_a_publish_anew_makes_it_unseen_again():
    again = Deed(5.0, 6.0, model.arrives)
    assert after(ARRIVES, mark("read", 3, 4), again) == ["unseen"]


def test_many_deeds_at_one_time_are_still_few_places():
    many = [mark(name, 3.0, 9.0) for name in ("seen", "read", "unread", "archived") * 20]
    assert after(ARRIVES, *many) == ["archived", "read", "seen"]


# --- Settings -------------------------------------------------------------------------------------


def register(*settings):
    made = Register("none")
    for value, since, until in settings:
        made.put(value, since, until)
    return made


def test_a_setting_holds_until_the_next_one_is_over():
    made = register(("a", 1.0, 2.0), ("b", 5.0, 6.0))
    assert made.values(0.0, 0.5) == ["none"]
    assert made.values(0.0, 1.5) == ["none", "a"]
    assert made.values(3.0, 4.0) == ["a"]
    assert made.values(3.0, 5.5) == ["a", "b"]
    assert made.values(7.0, 8.0) == ["b"]


def test_one_of_which_nobody_knows_may_hold_at_any_later_time():
    made = register(("a", 1.0, None), ("b", 5.0, 6.0))
    assert made.values(3.0, 4.0) == ["none", "a"]
    assert made.values(7.0, 8.0) == ["a", "b"]


def test_of_two_that_overlap_either_may_be_the_last():
    assert register(("a", 1.0, 4.0), ("b", 2.0, 3.0)).values(5.0, 6.0) == ["a", "b"]
