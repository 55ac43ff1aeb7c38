"""The pushes of a session, and the entries that wait in the log (docs: rule 1 of the WebSocket)."""

from __future__ import annotations

from tests.protocol.session_kit import AT, NOW, a_page, a_session, an_entry, pushed, sequences
from tocsin.protocol.log.push import CaughtUp, PageWanted, Push

# --- Live ---------------------------------------------------------------------------------------


def test_a_device_that_misses_nothing_is_live_at_once():
    session = a_session()
    assert session.synced
    assert session.wants_page() is None


def test_a_live_entry_is_pushed_without_a_read():
    push = pushed(a_session(start=7), an_entry(8, "n8"))

    assert (push.sequence, push.previous, push.attempt) == (8, 7, 1)
    assert (push.change, push.replay, push.unread, push.unseen) == ("created", False, 2, 1)
    assert (push.notification_id, push.notification) == ("n8", b"x" * 10)


def test_a_live_entry_behind_a_gap_waits_and_the_gap_is_read():
    session = a_session(start=7)

    assert session.live(an_entry(9), NOW, AT) is None
    assert session.wants_page() == PageWanted(7, 4, 1000, 7)


def test_a_live_entry_that_was_heard_before_is_passed_over():
    session = a_session()
    pushed(session, an_entry(1))

    assert session.live(an_entry(1), NOW, AT) is None
    assert session.wants_page() is None


def test_a_live_entry_while_a_page_is_read_is_left_to_the_page():
    session = a_session()
    session.heard_of(2)
    assert session.wants_page() is not None

    assert session.live(an_entry(1), NOW, AT) is None
    assert sequences(session.page([an_entry(1), an_entry(2)], 2, 2, 2, NOW, AT)) == [1, 2]


def test_a_live_entry_during_the_replay_is_left_to_the_replay():
    session = a_session(head=1)
    a_page(session, an_entry(1), head=2)
    assert not session.synced
    assert session.wants_page() is not None
    session.page_failed()

    assert session.live(an_entry(2), NOW, AT) is None
    assert sequences(a_page(session, an_entry(2))) == [2]
    assert session.synced


def test_a_page_is_asked_for_with_what_the_devices_counters_count():
    session = a_session(start=2, head=5, window=2)
    assert session.wants_page() == PageWanted(2, 2, 1000, 5)

    session.page([an_entry(3), an_entry(4)], through=4, head=7, counted=8, now=NOW, now_ms=AT)
    session.ack_through(4, AT)
    assert session.wants_page() == PageWanted(4, 2, 1000, 8)


def test_a_page_without_a_push_tells_the_device_no_counters():
    session = a_session(start=2, head=5)
    session.wants_page()

    session.page([], through=5, head=5, counted=8, now=NOW, now_ms=AT)
    session.heard_of(6)
    assert session.wants_page() == PageWanted(5, 4, 1000, 5)


def test_a_live_push_counts_what_was_created_up_to_it():
    session = a_session(start=2)
    pushed(session, an_entry(3))
    session.heard_of(9)

    assert session.wants_page() == PageWanted(3, 3, 990, 3)


def test_an_entry_that_another_node_tells_of_is_read():
    session = a_session()
    session.heard_of(3)
    session.heard_of(2)

    assert session.wants_page() == PageWanted(0, 4, 1000, 0)


# --- Replay -------------------------------------------------------------------------------------


def test_a_replay_comes_in_order_before_synced_and_live_after_it():
    session = a_session(start=2, head=5)

    outputs = a_page(session, an_entry(3), an_entry(5))

    assert [type(output) for output in outputs] == [Push, Push, CaughtUp]
    assert [output.replay for output in outputs if isinstance(output, Push)] == [True, True]
    assert outputs[-1] == CaughtUp(5)
    live = pushed(session, an_entry(6))
    assert (live.replay, live.previous) == (False, 5)


def test_previous_names_the_push_before_whatever_was_left_out_between():
    session = a_session(start=2, head=9)

    first, second, _ = a_page(session, an_entry(4), an_entry(7), through=9)

    assert isinstance(first, Push)
    assert isinstance(second, Push)
    assert (first.previous, second.previous) == (2, 4)
    assert pushed(session, an_entry(10)).previous == 7


def test_a_log_of_which_everything_is_left_out_is_synced_and_done_with():
    session = a_session(start=2, head=9)

    assert a_page(session, through=9) == [CaughtUp(9)]
    assert session.cursor == 9


def test_synced_is_said_once():
    session = a_session(head=1)
    assert CaughtUp(1) in a_page(session, an_entry(1))
    session.heard_of(2)

    assert sequences(outputs := a_page(session, an_entry(2))) == [2]
    assert len(outputs) == 1


def test_a_page_that_ends_before_the_head_is_followed_by_another():
    session = a_session(head=6)

    outputs = a_page(session, an_entry(1), an_entry(2), head=6)

    assert sequences(outputs) == [1, 2]
    assert not session.synced
    assert session.wants_page() == PageWanted(2, 2, 980, 6)


def test_only_one_page_is_wanted_at_a_time():
    session = a_session(head=6)
    assert session.wants_page() is not None
    assert session.wants_page() is None


def test_a_page_that_failed_is_wanted_again():
    session = a_session(head=6)
    wanted = session.wants_page()
    session.page_failed()
    assert session.wants_page() == wanted


# --- The window (rule 1) ------------------------------------------------------------------------


def test_beyond_the_window_entries_wait_in_the_log():
    session = a_session(window=2)
    pushed(session, an_entry(1))
    pushed(session, an_entry(2))

    assert session.live(an_entry(3), NOW, AT) is None
    assert session.wants_page() is None
    session.ack_through(1, AT)
    assert session.wants_page() == PageWanted(2, 1, 990, 2)


def test_beyond_the_bytes_entries_wait_in_the_log():
    session = a_session(window_bytes=100)
    pushed(session, an_entry(1, size=60))
    pushed(session, an_entry(2, size=60))

    assert session.live(an_entry(3, size=1), NOW, AT) is None
    session.ack_through(1, AT)
    assert session.wants_page() == PageWanted(2, 3, 40, 2)


def test_a_notification_larger_than_the_window_is_pushed_alone():
    session = a_session(window_bytes=100)
    pushed(session, an_entry(1, size=5000))

    assert session.live(an_entry(2), NOW, AT) is None
    session.ack_through(1, AT)
    assert sequences(a_page(session, an_entry(2))) == [2]


def test_a_page_with_more_bytes_than_there_is_room_for_is_pushed_in_part():
    session = a_session(head=3, window_bytes=100)

    outputs = a_page(session, *[an_entry(sequence, size=60) for sequence in (1, 2, 3)])

    assert sequences(outputs) == [1, 2]
    assert (session.position, session.synced) == (2, False)
    session.ack_through(1, AT)
    assert sequences(a_page(session, an_entry(3))) == [3]


def test_a_busy_notification_does_not_get_around_the_window():
    session = a_session(window=3)
    pushed(session, an_entry(1, "busy"))
    pushed(session, an_entry(2, "busy", "updated"))
    pushed(session, an_entry(3, "busy", "updated"))

    assert session.live(an_entry(4, "busy", "updated"), NOW, AT) is None
    assert session.in_flight == 3


def test_content_that_was_superseded_counts_until_it_is_answered():
    session = a_session(window_bytes=100)
    pushed(session, an_entry(1, "busy", size=60))
    pushed(session, an_entry(2, "busy", "updated", size=60))

    assert session.live(an_entry(3, "busy", "updated"), NOW, AT) is None
    session.ack_through(2, AT)
    assert session.in_flight == 0
    assert session.wants_page() == PageWanted(2, 4, 100, 2)
