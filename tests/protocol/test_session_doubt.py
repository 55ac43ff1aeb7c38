"""A session that may have missed something looks once, and is none the worse for nothing."""

from tocsin.protocol.backoff import Backoff
from tocsin.protocol.delivery.session import DeviceSession, Output
from tocsin.protocol.delivery.terms import SessionLimits
from tocsin.protocol.log.push import LogEntry, Push, Recounted

LIMITS = SessionLimits(
    window=4,
    window_bytes=1 << 20,
    resend=Backoff(initial=1.0, cap=10.0),
    resend_limit=3,
    delivery_attempts_max=9,
)


def live_session() -> DeviceSession:
    session = DeviceSession("ada", "phone", 3, 3, LIMITS, lambda: 0.5)
    session.begin()
    return session


def entry(sequence: int, unread: int = 1) -> LogEntry:
    return LogEntry(sequence, f"id-{sequence}", "created", b"{}", unread, unread)


def test_a_session_in_doubt_reads_although_it_knows_of_nothing_new():
    session = live_session()
    assert session.wants_page() is None
    session.doubt()
    wanted = session.wants_page()
    assert wanted is not None
    assert wanted.after == 3


def test_a_doubt_that_finds_nothing_is_over():
    session = live_session()
    session.doubt()
    session.wants_page()
    assert session.page([], 3, 3, 3, now=0.0, now_ms=0) == []
    assert session.wants_page() is None


def test_a_doubt_that_finds_an_unannounced_change_pushes_it_live():
    session = live_session()
    session.doubt()
    session.wants_page()
    (push,) = session.page([entry(4)], 4, 4, 4, now=0.0, now_ms=0)
    assert isinstance(push, Push)
    assert (push.sequence, push.previous, push.replay) == (4, 3, False)


def test_a_page_that_failed_is_wanted_again():
    session = live_session()
    session.doubt()
    session.wants_page()
    session.page_failed()
    assert session.wants_page() is not None


def test_a_resend_carries_the_counters_of_now():
    session = live_session()
    session.live(entry(4, unread=1), now=0.0, now_ms=0)
    session.live(entry(5, unread=2), now=1.0, now_ms=0)
    (again,) = session.expire(1.01, 0)
    assert isinstance(again, Push)
    assert (again.sequence, again.attempt, again.unread) == (4, 2, 2)


def test_an_expired_push_is_not_sent_again_and_holds_nothing_up():
    session = live_session()
    expiring = LogEntry(4, "id-4", "created", b"{}", 1, 1, expires_at=500)
    session.live(expiring, now=0.0, now_ms=0)
    assert session.expire(2.0, 500) == []
    assert session.in_flight == 0
    assert session.cursor == 4


# --- Counters -------------------------------------------------------------------------------------


def looked(session: DeviceSession, *entries: LogEntry, counted: int, counters: int) -> list[Output]:
    """The outputs after a doubt: the page has *entries*, and *counters* at the head *counted*."""
    session.doubt()
    assert session.wants_page() is not None
    through = entries[-1].sequence if entries else session.position
    return session.page(entries, through, through, counted, 0.0, 0, (counters, counters))


def test_counters_that_changed_without_an_entry_are_told_once():
    session = live_session()
    session.live(entry(4, unread=2), now=0.0, now_ms=0)

    assert looked(session, counted=4, counters=1) == [Recounted(1, 1)]
    assert looked(session, counted=4, counters=1) == []
    assert session.counters == (1, 1)
    # A push that is sent again says what is true now.
    (again,) = session.expire(1.01, 0)
    assert isinstance(again, Push)
    assert again.unread == 1


def test_the_counters_of_the_welcome_are_corrected_too():
    session = DeviceSession("ada", "phone", 3, 3, LIMITS, lambda: 0.5, counters=(2, 1))
    session.begin()
    assert looked(session, counted=3, counters=1) == [Recounted(1, 1)]


def test_a_page_that_pushes_says_it_with_the_push():
    session = live_session()
    (push,) = looked(session, entry(4, unread=1), counted=4, counters=1)
    assert isinstance(push, Push)
    assert session.counters == (1, 1)


def test_counters_of_what_was_not_pushed_yet_wait_for_it():
    session = live_session()
    assert looked(session, counted=4, counters=1) == []
    # It is read, for what is told of it live may count what has expired since.
    assert session.wants_page() is not None
    assert session.live(entry(4, unread=2), now=0.0, now_ms=0) is None
    (push,) = session.page([entry(4, unread=1)], 4, 4, 4, 0.0, 0, (1, 1))
    assert isinstance(push, Push)
    assert push.unread == 1


def test_before_it_has_caught_up_nothing_is_corrected():
    session = DeviceSession("ada", "phone", 0, 9, LIMITS, lambda: 0.5, counters=(5, 5))
    session.begin()
    assert looked(session, entry(1, unread=4), counted=9, counters=4)[1:] == []
    assert not session.synced
