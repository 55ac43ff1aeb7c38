"""A screen depends on the pushes processed, not on their order or repetition."""

from simulation.clients.screen import Screen


def test_a_newer_change_takes_the_place_of_an_older_one():
    screen = Screen()

    screen.show(push(1, "a"))
    screen.show(push(4, "a"))

    assert screen.shown["a"]["sequence"] == 4


def test_an_older_change_that_comes_late_is_not_shown():
    screen = Screen()

    screen.show(push(4, "a"))
    screen.show(push(1, "a"))

    assert screen.shown["a"]["sequence"] == 4


def test_a_screen_is_complete_from_where_its_first_session_began():
    screen = Screen()

    screen.begin(7)
    screen.begin(12)

    assert screen.since == 7


def test_a_cleared_screen_is_complete_from_the_start():
    screen = Screen()
    screen.begin(7)
    screen.show(push(8, "a"))

    screen.clear()

    assert (screen.shown, screen.since) == ({}, 0)


def test_a_backup_stays_as_it_was():
    screen = Screen()
    screen.begin(0)
    screen.show(push(1, "a"))
    screen.cursor = "e.1"

    backup = screen.copy()
    screen.show(push(2, "b"))
    screen.cursor = "e.2"

    assert list(backup.shown) == ["a"]
    assert (backup.cursor, backup.since) == ("e.1", 0)


def push(sequence, identity):
    return {"sequence": sequence, "notification": {"id": identity}}
