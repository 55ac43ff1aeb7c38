"""What a commit means to those who are online. The directories are played."""

from __future__ import annotations

from typing import Any

from tocsin.actors.announcer import Announcer
from tocsin.persistence.store import Counters, Marked


class Heard:
    """Notes the calls of all three directories."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.calls.append((name, *args))


def test_a_mark_that_changes_nothing_may_have_brought_what_is_new_in_topics():
    heard: Any = Heard()

    Announcer(heard, heard, heard)(Marked("ann", 0, 4, Counters(1, 1), more=False))

    assert heard.calls == [("head_moved", "ann", 4)]
