"""What a run amounted to, in numbers: to see that a clean one was not an empty one."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from simulation.world.history import Frame, RequestStory, SessionStory, Watcher

_POSTS: Final = frozenset({"publish", "publish_batch"})
_ACCEPTED: Final = frozenset({200, 201, 202})


class Figures(msgspec.Struct, kw_only=True):
    """Sums over one run, or over many."""

    seconds: float = 0.0
    """Virtual ones."""
    notifications: int = 0
    """Posts that were accepted."""
    spooled: int = 0
    """Of these, those that the store had no part in."""
    deliveries: int = 0
    """Pushes that reached a device."""
    sessions: int = 0
    requests: int = 0
    transactions: int = 0
    steps: int = 0
    """Lines of the trace."""
    faults: dict[str, int] = {}
    """By kind."""

    def add(self, other: Figures) -> None:
        """Count *other* in."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                setattr(self, name, dict(sorted((Counter(mine) + Counter(theirs)).items())))
            else:
                setattr(self, name, mine + theirs)


class Counting(Watcher):
    """Counts what clients see."""

    def __init__(self) -> None:
        self.figures = Figures()

    def opened(self, session: SessionStory) -> None:
        self.figures.sessions += 1

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        match frame["type"]:
            case "push":
                self.figures.deliveries += 1
            case "changes":
                self.figures.deliveries += len(frame["changes"])

    def answered(self, request: RequestStory) -> None:
        self.figures.requests += 1
        if request.operation in _POSTS and request.status in _ACCEPTED:
            self.figures.notifications += 1
            self.figures.spooled += request.status == 202
