"""The status of a hop tells each change to all of its watchers."""

from __future__ import annotations

import pytest

from tocsin.actors.health import HopStatus


def test_watchers_are_told_each_change_once():
    told: list[bool] = []
    status = HopStatus(watchers=[told.append])
    for available in (False, True, True, False):
        status.set_available(available)
    assert told == [True, False]


def test_a_watcher_that_fails_keeps_no_other_from_being_told():
    def fail(available: bool) -> None:
        raise ZeroDivisionError

    told: list[bool] = []
    status = HopStatus(watchers=[fail, told.append, fail])
    with pytest.RaisesGroup(ZeroDivisionError, ZeroDivisionError):
        status.set_available(True)
    assert (told, status.available) == ([True], True)
