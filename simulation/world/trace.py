"""What happened, line by line: the same for the same seed, and a digest to compare runs by."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

_KEPT: Final = 400_000
"""Lines that are kept: some hours of a small cluster, the last ones where there are more."""


class Line(NamedTuple):
    """At *time* (seconds), *who* did or saw *what*."""

    time: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.time:11.4f}  {self.who:<16}  {self.what}"


class Trace:
    """See the module. Only what is the same in every process may be noted: no id(), no hash()."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=_KEPT)
        self._hash = hashlib.blake2b(digest_size=16)
        self.count = 0

    def note(self, now: float, who: str, what: str) -> None:
        """One line more."""
        line = Line(now, who, what)
        self._lines.append(line)
        self.count += 1
        self._hash.update(f"{now!r} {who} {what}\n".encode())

    @property
    def digest(self) -> str:
        """The same for the same lines, and only for them."""
        return self._hash.copy().hexdigest()

    def lines(self) -> Iterator[Line]:
        """What was kept, the oldest first."""
        return iter(self._lines)
