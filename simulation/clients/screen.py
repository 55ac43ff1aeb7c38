"""The screen of a device: the notifications that it shows, made from all the pushes it has
processed.

A push replaces what is shown of its notification if its sequence is greater. So repetitions, and
older pushes that come late, make no difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from simulation.world.history import Frame

_RECENT: Final = 30
"""The number of notifications among which a user picks one."""


class Screen:
    """See the module.

    *shown* has the last push of each notification. *since* is the sequence from which the screen is
    complete: notifications that did not change after it may be missing. It is `None` before the
    first session.
    """

    __slots__ = (
        *("_acknowledged", "_through", "_unconfirmed"),
        *("clearings", "counters", "cursor", "recent", "shown", "since"),
    )

    def __init__(self) -> None:
        self.shown: dict[str, Frame] = {}
        self.cursor: str | None = None
        self.since: int | None = None
        self.counters: tuple[int, int] | None = None
        self.clearings = 0
        self.recent: deque[str] = deque(maxlen=_RECENT)
        self._unconfirmed: dict[str, None] = {}
        self._acknowledged: dict[str, int] = {}
        self._through = 0

    def begin(self, start: int) -> None:
        """A session starts at *start*.

        Shown notifications with later changes come again in the replay, unless they were
        acknowledged or no longer exist.
        """
        if self.since is None:
            self.since = start
        self._unconfirmed = {
            identity: None
            for identity, push in self.shown.items()
            if push["sequence"] > max(start, self._through, self._acknowledged.get(identity, 0))
        }

    def acknowledge(self, sequences: Mapping[str, int]) -> None:
        """The device acknowledges these changes, given by notification."""
        for identity, sequence in sequences.items():
            self._acknowledged[identity] = max(sequence, self._acknowledged.get(identity, 0))

    def acknowledge_through(self, sequence: int) -> None:
        """The device acknowledges all that is shown up to *sequence*."""
        self._through = max(self._through, sequence)

    def confirm(self, identity: str) -> None:
        """A change of notification *identity* has come, though it is not shown yet."""
        self._unconfirmed.pop(identity, None)

    def caught_up(self) -> None:
        """The replay is complete: remove notifications that did not come again; they ended."""
        for identity in self._unconfirmed:
            del self.shown[identity]
        self._unconfirmed = {}

    def show(self, push: Frame) -> None:
        """Show *push*, unless a newer push of its notification is shown."""
        identity = push["notification"]["id"]
        self._unconfirmed.pop(identity, None)
        before = self.shown.get(identity)
        if before is None:
            self.recent.append(identity)
        elif before["sequence"] >= push["sequence"]:
            return
        self.shown[identity] = push

    def clear(self) -> None:
        """Remove everything: the log is replayed from its start."""
        self.shown.clear()
        self._unconfirmed.clear()
        self._acknowledged.clear()
        self._through = 0
        self.clearings += 1
        self.recent.clear()
        self.since = 0

    def copy(self) -> Screen:
        """A copy, for a backup."""
        copy = Screen()
        copy.shown = dict(self.shown)
        copy.cursor, copy.since, copy.counters = self.cursor, self.since, self.counters
        copy.recent.extend(self.recent)
        copy._acknowledged, copy._through = dict(self._acknowledged), self._through
        return copy
