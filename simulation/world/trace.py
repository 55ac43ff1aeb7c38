"""The trace of a run, line by line, and its digest; both are the same for the same seed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

_KEPT: Final = 400_000
"""The lines that are kept, the last ones: some hours of a small cluster."""


class Line(NamedTuple):
    """At *time* (seconds), *who* did or saw *what*."""

    time: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.time:11.4f}  {self.who:<16}  {self.what}"


class Trace:
    """See the module. A line must be the same in every process: without `id()` and `hash()`."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=_KEPT)
        self._hash = hashlib.blake2b(digest_size=16)
        self.count = 0

    def note(self, now: float, who: str, what: str) -> None:
        """Add a line."""
        line = Line(now, who, what)
        self._lines.append(line)
        self.count += 1
        self._hash.update(f"{now!r} {who} {what}\n".encode())

    @property
    def digest(self) -> str:
        """A hash of all lines; equal digests mean equal traces."""
        return self._hash.copy().hexdigest()

    def lines(self) -> Iterator[Line]:
        """The lines that were kept, the oldest first."""
        return iter(self._lines)
