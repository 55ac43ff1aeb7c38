"""What a device shows, and how far it is: the fold of all that it was pushed.

A change is shown if it is newer than what is shown of its notification; so it does not matter how
often it comes, or whether an older one comes behind it. Nothing else is believed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from simulation.world.history import Frame

_RECENT: Final = 30
"""Notifications that a user would pick one from."""


class Screen:
    """See the module. *shown* is the last push of each notification, *since* the sequence from
    which on it is complete: what did not change after that may be missing. `None` is before all."""

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

        What is shown of later changes comes again, unless it was acknowledged, or is gone.
        """
        if self.since is None:
            self.since = start
        self._unconfirmed = {
            identity: None
            for identity, push in self.shown.items()
            if push["sequence"] > max(start, self._through, self._acknowledged.get(identity, 0))
        }

    def acknowledge(self, sequences: Mapping[str, int]) -> None:
        """These changes, by notification, are being acknowledged."""
        for identity, sequence in sequences.items():
            self._acknowledged[identity] = max(sequence, self._acknowledged.get(identity, 0))

    def acknowledge_through(self, sequence: int) -> None:
        """All that is shown up to *sequence* is being acknowledged."""
        self._through = max(self._through, sequence)

    def confirm(self, identity: str) -> None:
        """A change of it has come, though it is not shown yet."""
        self._unconfirmed.pop(identity, None)

    def caught_up(self) -> None:
        """All there is has come: what did not come again was withdrawn, or has expired."""
        for identity in self._unconfirmed:
            del self.shown[identity]
        self._unconfirmed = {}

    def show(self, push: Frame) -> None:
        """Show a change, unless a newer one of its notification is shown."""
        identity = push["notification"]["id"]
        self._unconfirmed.pop(identity, None)
        before = self.shown.get(identity)
        if before is None:
            self.recent.append(identity)
        elif before["sequence"] >= push["sequence"]:
            return
        self.shown[identity] = push

    def clear(self) -> None:
        """Drop it all: the log is replayed from its start."""
        self.shown.clear()
        self._unconfirmed.clear()
        self._acknowledged.clear()
        self._through = 0
        self.clearings += 1
        self.recent.clear()
        self.since = 0

    def copy(self) -> Screen:
        """As it is now, for a backup."""
        copy = Screen()
        copy.shown = dict(self.shown)
        copy.cursor, copy.since, copy.counters = self.cursor, self.since, self.counters
        copy.recent.extend(self.recent)
        copy._acknowledged, copy._through = dict(self._acknowledged), self._through
        return copy
