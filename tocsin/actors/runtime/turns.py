"""The turns of Trio's loop, counted, so that what is bounded can be bounded in each of them.

A turn begins when the loop has looked for I/O, and runs every task that can run by then. Trio does
not say which turn it is, but it tells an instrument of each. That costs less than a microsecond a
turn, however many messages are handled in it; a task that ran in each turn would cost five times
that.
"""

from __future__ import annotations

from typing import Final

import trio


class TurnCounter(trio.abc.Instrument):
    """*number* is another one in every turn."""

    def __init__(self) -> None:
        self.number = 0

    def after_io_wait(self, timeout: float) -> None:
        """A turn begins."""
        self.number += 1


_counter: Final = trio.lowlevel.RunVar[TurnCounter]("turn counter")


def turn_counter() -> TurnCounter:
    """The counter of this Trio run."""
    try:
        return _counter.get()
    except LookupError:
        counter = TurnCounter()
        trio.lowlevel.add_instrument(counter)
        _counter.set(counter)
        return counter
