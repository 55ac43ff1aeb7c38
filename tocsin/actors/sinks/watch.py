"""Followers of the receipts' log on this node, which are woken when something was committed.

A receipt is written in the transaction of the fact that it tells, and says nothing of itself: the
announcer calls `committed` for every result. While nothing follows, that is all. The call says that
there may be a receipt, so a follower looks, and looks again each second for those of other nodes.
"""

from __future__ import annotations

from typing import Final

import trio

LOOK_INTERVAL: Final = 1.0
"""Seconds between looks for receipts that other nodes have written: no envelope tells of them."""
_LINGER: Final = 0.02
"""Seconds that a follower waits after it was woken: receipts come by the hundred, and a look at
each transaction's would cost as much as the transaction."""


class ReceiptWatch:
    """A table; see the module."""

    def __init__(self) -> None:
        self._something: trio.Event | None = None
        self.readers: dict[str, float] = {}
        """Credentials that read the log, each with the time (Trio's) until which that is noted."""

    def committed(self) -> None:
        """Wake all followers that wait."""
        if self._something is not None:
            self._something.set()
            self._something = None

    async def wait(self, timeout: float = LOOK_INTERVAL) -> None:
        """Return when something was committed here, or after *timeout* seconds.

        A commit before the call may be missed: look first, and again afterwards.
        """
        if self._something is None:
            self._something = trio.Event()
        something = self._something
        with trio.move_on_after(timeout):
            await something.wait()
            await trio.sleep(_LINGER)
