"""The keys in use, remembered for a moment so that the store need not be asked.

A producer sends thousands of requests with one key; a flood of rubbish sends
thousands of keys. Both would become one store read per request, and the second is
made by anyone who likes. So records are cached *by id*, the known and the unknown
apart: a flood fills the cache of the unknown and never displaces a key that works.

A cache alone does not stop a flood of ids that are all different, since each of them
is new. Those draw on an allowance of reads per second, refilled with time. Ids that
have been known before do not draw on it: while the flood lasts, producers at work
notice nothing, and only a key not seen since the start may be told to come back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from tocsin.server.auth.errors import AuthCode, AuthUnavailable, Unauthenticated
from tocsin.server.auth.keys import StoredKey, check_key, read_key_id
from tocsin.server.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class KeyRingLimits:
    """Every number of the ring."""

    fresh: float = 5.0  # seconds a record is believed: how late a revocation elsewhere bites
    outage: float = 0.0  # seconds more that it is believed while the store cannot be asked
    known_max: int = 4096  # records, some 400 bytes each
    unknown_max: int = 4096  # ids
    strange_reads_per_second: float = 200.0  # a store answers 100 times as many
    strange_reads_burst: int = 1000  # a fleet of producers that reconnects at once
    retry_after: float = 1.0  # seconds, told to those who find no allowance left


@dataclass(frozen=True, slots=True)
class KeyRingStatistics:
    """For diagnostics. *refused* counts requests that found no allowance left."""

    known: int
    unknown: int
    reads: int
    refused: int


@dataclass(slots=True)
class _Read:
    """A store read on its way, and everyone who waits for its outcome."""

    done: trio.Event = field(default_factory=trio.Event)
    record: StoredKey | None = None
    found_out: bool = False
    failure: Exception | None = None


class KeyRing:
    """Verifies API keys against a store, through *find*, which takes a key's id.

    *monotonic* is in seconds.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[StoredKey | None]],
        monotonic: Callable[[], float] = trio.current_time,
        *,
        limits: KeyRingLimits | None = None,
    ) -> None:
        self._find: Final = find
        self._monotonic: Final = monotonic
        self._limits: Final = limits or KeyRingLimits()
        self._known: Final[dict[str, tuple[StoredKey, float]]] = {}  # id → record, until
        self._unknown: Final[dict[str, float]] = {}  # id → until
        self._reading: Final[dict[str, _Read]] = {}
        self._allowance = float(self._limits.strange_reads_burst)
        self._refilled_at: float | None = None
        self._reads = 0
        self._refused = 0

    async def verify(self, text: str) -> Principal:
        """The holder of this key. Raises `Unauthenticated` with a `key_…` code.

        Raises `AuthUnavailable` (`keys_busy`) when too many unknown keys are being
        tried. An error of the store reaches the caller whose turn it was to ask; those
        who waited with it get `AuthUnavailable` (`keys_unavailable`).

        Always a checkpoint. Cancelling a caller gives its place, if it was the one
        who asks the store, to another who waits.
        """
        key_id = read_key_id(text)
        await trio.lowlevel.checkpoint()
        return check_key(text, await self._look_up(key_id))

    def known(self, text: str) -> Principal | None:
        """The holder of this key, if known and fresh; never raises."""
        try:
            key_id = read_key_id(text)
            record, until = self._known[key_id]
            return check_key(text, record) if self._monotonic() < until else None
        except (Unauthenticated, KeyError):
            return None

    def forget(self, key_id: str) -> None:
        """Ask the store at the next use: call it when a key is revoked or changed.

        A read that is on its way may have seen the key as it was, so its outcome will
        not be remembered either.
        """
        self._reading.pop(key_id, None)
        self._unknown.pop(key_id, None)
        if key_id in self._known:
            record, _ = self._known[key_id]
            self._known[key_id] = (record, float("-inf"))  # stale, and still no stranger

    def statistics(self) -> KeyRingStatistics:
        """Plain values for diagnostics; never blocks."""
        return KeyRingStatistics(len(self._known), len(self._unknown), self._reads, self._refused)

    async def _look_up(self, key_id: str) -> StoredKey | None:
        while True:
            now = self._monotonic()
            if key_id in self._known and now < self._known[key_id][1]:
                return self._known[key_id][0]
            if now < self._unknown.get(key_id, float("-inf")):
                return None
            read = self._reading.get(key_id)
            if read is None:
                return await self._ask_store(key_id, now)
            await read.done.wait()
            if read.failure is not None:
                raise AuthUnavailable(
                    "API keys cannot be looked up now.",
                    AuthCode.KEYS_UNAVAILABLE,
                    self._limits.retry_after,
                ) from read.failure
            if read.found_out or read.record is not None:
                return read.record
            # The one who asked was cancelled: go round, and perhaps ask ourselves.

    async def _ask_store(self, key_id: str, now: float) -> StoredKey | None:
        if key_id not in self._known:
            self._spend_allowance(now)
        read = self._reading[key_id] = _Read()
        self._reads += 1
        try:
            read.record = await self._find(key_id)
            read.found_out = True
        except Exception as error:
            read.record = self._last_known(key_id)
            if read.record is None:
                read.failure = error
                raise
        finally:
            if self._reading.get(key_id) is read:
                del self._reading[key_id]
                if read.found_out:
                    self._remember(key_id, read.record)
            read.done.set()
        return read.record

    def _last_known(self, key_id: str) -> StoredKey | None:
        """The knowledge of a key while the store cannot be asked, unless that is too long ago.

        Posts are spooled then, and whoever could post before must be able to.
        """
        record, until = self._known.get(key_id, (None, float("-inf")))
        return record if self._monotonic() < until + self._limits.outage else None

    def _remember(self, key_id: str, record: StoredKey | None) -> None:
        until = self._monotonic() + self._limits.fresh
        # Out and in again moves to the end: the first of a dict is the longest unread.
        self._known.pop(key_id, None)
        self._unknown.pop(key_id, None)
        if record is None:
            self._unknown[key_id] = until
            if len(self._unknown) > self._limits.unknown_max:
                del self._unknown[next(iter(self._unknown))]
        else:
            self._known[key_id] = (record, until)
            if len(self._known) > self._limits.known_max:
                del self._known[next(iter(self._known))]

    def _spend_allowance(self, now: float) -> None:
        since = 0.0 if self._refilled_at is None else now - self._refilled_at
        self._refilled_at = now
        self._allowance = min(
            float(self._limits.strange_reads_burst),
            self._allowance + since * self._limits.strange_reads_per_second,
        )
        if self._allowance < 1:
            self._refused += 1
            raise AuthUnavailable(
                "Too many unknown API keys are being tried.",
                AuthCode.KEYS_BUSY,
                self._limits.retry_after,
            )
        self._allowance -= 1
