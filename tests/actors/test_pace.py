"""The pace of group commits, as arithmetic."""

from tocsin.actors.storage.commit_timing import WAIT_MAX, CommitPace


def after(count: int) -> CommitPace:
    """The pace after a transaction of *count* commands, at 0."""
    pace = CommitPace()
    pace.came(0.0, 1)
    pace.went(count)
    return pace


def test_a_lone_command_is_committed_at_once():
    pace = CommitPace()
    for now in (0.0, 0.5, 0.6, 10.0):
        assert pace.came(now, 1)
        assert pace.due <= now
        pace.went(1)


def test_after_a_crowd_the_first_waits_a_moment_and_no_longer_for_others_who_come():
    pace = after(1000)
    assert pace.came(0.5, 1)
    for number in range(2, 100):
        assert not pace.came(0.5 + number * 0.0001, number)

    assert pace.due == 0.5 + WAIT_MAX


def test_no_command_waits_once_as_many_are_here_as_came_together_last():
    pace = after(3)
    pace.came(0.5, 1)
    assert not pace.came(0.5001, 2)
    assert pace.due == 0.5 + WAIT_MAX
    assert pace.came(0.5002, 3)
    assert pace.due == 0.5002
    assert not pace.came(0.5003, 4)


def test_commands_from_a_long_transaction_are_committed_when_it_has_ended():
    pace = after(16)
    pace.came(0.1, 1)
    pace.came(0.102, 2)

    assert pace.due <= 0.105


def test_a_crowd_is_forgotten_by_and_by():
    pace = after(1000)
    for number in range(12):
        now = 0.1 * number
        pace.came(now, 1)
        pace.went(1)

    pace.came(2.0, 1)
    assert pace.due <= 2.0


def test_a_crowd_of_long_ago_is_forgotten():
    pace = after(1000)
    pace.came(1.5, 1)

    assert pace.due <= 1.5


def test_two_who_came_together_are_not_waited_for():
    pace = after(2)
    pace.came(0.5, 1)

    assert pace.due <= 0.5


def test_the_first_of_a_crowd_waits_for_half_a_transaction_at_most():
    pace = after(16)
    pace.ended(0.001, 0.001, 16, 0)
    pace.came(0.5, 1)

    assert pace.due == 0.5005


def test_after_a_long_transaction_the_first_of_a_crowd_waits_no_longer_than_the_moment():
    pace = after(16)
    pace.ended(0.4, 1.0, 16, 0)
    pace.came(0.5, 1)

    assert pace.due == 0.5 + WAIT_MAX


def test_a_group_that_gathered_meanwhile_waits_for_those_who_were_just_answered():
    pace = after(8)
    pace.came(0.001, 8)
    pace.ended(0.004, 0.004, 8, 8)
    assert pace.due == 0.004 + WAIT_MAX / 2
    assert not pace.came(0.0041, 9)
    assert pace.came(0.0042, 16)
    assert pace.due == 0.0042


def test_the_fewer_were_answered_the_shorter_is_the_wait_for_them():
    few, many = after(1), after(9)
    few.ended(0.004, 0.004, 1, 9)
    many.ended(0.004, 0.004, 9, 1)
    assert few.due == 0.004 + WAIT_MAX / 10
    assert many.due == 0.004 + WAIT_MAX * 9 / 10


def test_two_are_not_waited_for_either():
    pace = after(1)
    pace.came(0.001, 1)
    pace.ended(0.004, 0.004, 1, 1)
    assert pace.due <= 0.001


def test_askers_that_do_not_return_are_not_waited_for_in_the_next_transactions():
    pace = after(8)
    waits = []
    for number in range(1, 20):
        ended = 0.01 * number
        pace.ended(ended, 0.004, 8, 8)
        waits.append(pace.due > ended)
        pace.went(8)
    assert [number for number, wait in enumerate(waits) if wait] == [0, 9, 18]


def test_askers_that_return_are_waited_for_every_time():
    pace = after(8)
    for number in range(1, 20):
        ended = 0.01 * number
        pace.ended(ended, 0.004, 8, 8)
        assert pace.due > ended
        pace.went(9)
