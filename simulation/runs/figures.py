"""The figures of a run, which show that a clean run was not an empty one."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from simulation.world.history import Frame, RequestStory, SessionStory, Watcher

_POSTS: Final = frozenset({"publish", "publish_batch"})
_ACCEPTED: Final = frozenset({200, 201, 202})  # statuses


class Figures(msgspec.Struct, kw_only=True):
    """Sums over one run or several."""

    seconds: float = 0.0
    """Virtual seconds."""
    notifications: int = 0
    """Posts that were accepted."""
    spooled: int = 0
    """Accepted posts that went into the spool, because the store was away."""
    deliveries: int = 0
    """Pushes that reached a device."""
    sessions: int = 0
    requests: int = 0
    transactions: int = 0
    steps: int = 0
    """Lines of the trace."""
    faults: dict[str, int] = {}
    """By kind, the faults that found a victim."""

    def add(self, other: Figures) -> None:
        """Add the figures of another run."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                setattr(self, name, dict(sorted((Counter(mine) + Counter(theirs)).items())))
            else:
                setattr(self, name, mine + theirs)


class Counting(Watcher):
    """Counts the events of the history."""

    def __init__(self) -> None:
        self.figures = Figures()

    def opened(self, session: SessionStory) -> None:
        self.figures.sessions += 1

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        if frame["type"] == "push":
            self.figures.deliveries += 1
        elif frame["type"] == "changes":
            self.figures.deliveries += len(frame["changes"])

    def answered(self, request: RequestStory) -> None:
        self.figures.requests += 1
        if request.operation in _POSTS and request.status in _ACCEPTED:
            self.figures.notifications += 1
            self.figures.spooled += request.status == 202
