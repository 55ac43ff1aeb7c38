"""The wanted channels, and those that a server has confirmed: bookkeeping, no I/O.

A confirmation names only the channel. A channel that is subscribed, unsubscribed and subscribed
again within a round trip is confirmed twice, and is heard without a gap only after the second
confirmation; so confirmations are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable


class Subscriptions:
    """The wanted channels of one node, over any number of connections."""

    def __init__(self) -> None:
        # A dictionary, because it keeps the order.
        self._wanted: dict[str, None] = {}
        self._unconfirmed: Counter[str] = Counter()
        self._waits: dict[str, list[_Wait]] = {}

    def __contains__(self, channel: str) -> bool:
        return channel in self._wanted

    @property
    def wanted(self) -> tuple[str, ...]:
        return tuple(self._wanted)

    def want(self, channels: Iterable[str]) -> list[str]:
        """Want *channels*; those of them that were not wanted before."""
        new = [each for each in dict.fromkeys(channels) if each not in self._wanted]
        self._wanted.update(dict.fromkeys(new))
        return new

    def drop(self, channels: Iterable[str]) -> list[str]:
        """Want *channels* no more; those of them that were wanted."""
        gone = [each for each in dict.fromkeys(channels) if each in self._wanted]
        for each in gone:
            del self._wanted[each]
        return gone

    def asked(self, channels: Iterable[str]) -> None:
        """Note that the server was asked for *channels*, each of which it will confirm."""
        self._unconfirmed.update(channels)

    def when_confirmed(self, channels: Iterable[str], then: Callable[[bool], None]) -> None:
        """Call *then* once: with `True` as soon as all *channels* are confirmed, with `False` if
        the connection is lost before.
        """
        missing = [each for each in dict.fromkeys(channels) if each in self._unconfirmed]
        if not missing:
            then(True)
            return
        wait = _Wait(len(missing), then)
        for each in missing:
            self._waits.setdefault(each, []).append(wait)

    def confirmed(self, channel: str) -> None:
        """Note that the server has confirmed a subscription to *channel*."""
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            return
        del self._unconfirmed[channel]
        for wait in self._waits.pop(channel, ()):
            wait.missing -= 1
            if wait.missing == 0:
                wait.then(True)

    def lost(self) -> None:
        """Note that the connection is lost, and with it all its unconfirmed subscriptions."""
        self._unconfirmed.clear()
        waits, self._waits = self._waits, {}
        for wait in {id(each): each for several in waits.values() for each in several}.values():
            wait.then(False)


class _Wait:
    __slots__ = ("missing", "then")

    def __init__(self, missing: int, then: Callable[[bool], None]) -> None:
        self.missing = missing
        self.then = then
