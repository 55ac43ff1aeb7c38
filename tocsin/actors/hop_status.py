"""Whether a hop works, the store or the bus, for everybody to look at or to be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class HopStatus:
    """Kept by one actor; *watchers* are told of each change."""

    available: bool = False
    watchers: list[Callable[[bool], None]] = field(default_factory=list, kw_only=True)

    def set_available(self, available: bool) -> None:
        """Note a change and tell the watchers; nothing if it is none."""
        if available != self.available:
            self.available = available
            for watcher in self.watchers:
                watcher(available)
