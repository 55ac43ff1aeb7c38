"""The public keys of an identity provider, followed from a distance.

Keys rotate while tokens are in flight, and the provider is sometimes away. So the
set is a cache with three rules. *Fresh enough*: older than `age_max` it is fetched
again. *Surprise*: a token that names a key we have not seen may be the first after a
rotation, so it causes a fetch — but anyone can invent names, so at most one per
`cooldown`. *Better old than none*: when a fetch fails, the last good set goes on
serving for `stale_max`; only then, or if there never was one, is the answer "we
cannot tell" (`AuthUnavailable`) rather than "no".

No task runs in the background. The first caller to find the set wanting fetches it while
the others wait at a lock, or go on with the set there is.

Sources: RFC 7517 §5 (JWK Set), RFC 8725 §3.10 (no URL out of a token, ever).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from tocsin.server.auth.errors import AuthCode, AuthUnavailable
from tocsin.server.auth.jwks_fetch import Fetcher, FetchFailed
from tocsin.server.auth.verification_key import VerificationKey, key_from_jwk

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeySetLimits:
    """Every number of the cache. Seconds, unless the name says otherwise."""

    timeout: float = 5.0  # a whole fetch; a user is waiting at the other end
    body_bytes_max: int = 256 * 1024  # some providers publish dozens of keys, with certificates
    cooldown: float = 30.0  # between fetches because of an unknown kid
    age_max: float = 15 * 60.0  # a key that the provider withdrew stops working by then
    retry_delay: float = 30.0  # between refetches of an aged set that fail
    retry_delay_without_set: float = 5.0  # the same while nobody can be let in at all
    stale_max: float = 12 * 3600.0  # a night of the provider being away
    waiting_max: int = 1000  # tasks, at the lock; further ones do with what there is


@dataclass(frozen=True, slots=True)
class KeySetStatistics:
    """For diagnostics. *age* in seconds since the last good fetch, None before it."""

    keys: int
    age: float | None
    fetches: int
    failures: int
    last_failure: str | None


class KeySet:
    """A cached JSON Web Key Set behind a URL.

    Raises `AuthConfigurationError` unless the URL is https, or http to this machine
    itself; `insecure_http=True` lifts that, for networks that are secured otherwise.
    """

    def __init__(
        self,
        url: str,
        *,
        monotonic: Callable[[], float] = trio.current_time,
        insecure_http: bool = False,
        limits: KeySetLimits | None = None,
    ) -> None:
        self._limits: Final = limits or KeySetLimits()
        self._fetcher: Final = Fetcher(
            url, self._limits.timeout, self._limits.body_bytes_max, insecure_http
        )
        self._monotonic: Final = monotonic
        self._lock: Final = trio.Lock()
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at: float | None = None  # last success
        self._attempted_at: float | None = None  # last fetch of any outcome
        self._surprised_at: float | None = None  # last fetch because of an unknown kid
        self._fetches = 0  # completed, of any outcome
        self._failures = 0
        self._last_failure: str | None = None

    async def find(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """The keys that a token with this header may have been signed with; maybe none.

        With a *kid* only keys of that name are meant, without one every key that
        serves the algorithm. Raises `AuthUnavailable` (`jwks_unavailable`) when there
        is no usable set and none can be fetched.

        Always a checkpoint. Cancelling a caller that waits has no effect on others;
        cancelling the one that fetches takes effect when the fetch is over (at most
        `timeout` seconds), so that nobody can use up the cooldown by hanging up.
        """
        await trio.lowlevel.checkpoint()
        fetches = self._fetches
        await self._ensure_fresh()
        found = self._matching(kid, algorithm)
        if not found and self._may_be_surprised():
            await self._refresh(fetches, surprised=True)  # unless this call has fetched already
            found = self._matching(kid, algorithm)
        return found

    def statistics(self) -> KeySetStatistics:
        """Plain values for diagnostics; never blocks."""
        age = None if self._fetched_at is None else self._monotonic() - self._fetched_at
        return KeySetStatistics(
            len(self._keys), age, self._fetches, self._failures, self._last_failure
        )

    def _matching(self, kid: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        return tuple(
            key
            for key in self._keys
            if algorithm in key.algorithms and (kid is None or kid == key.kid)
        )

    async def _ensure_fresh(self) -> None:
        """Leave with a set that may be used, or raise `AuthUnavailable`."""
        limits = self._limits
        if self._usable():
            # One caller pays for the refetch; the others use the set there is.
            aged = self._passed(self._fetched_at, limits.age_max)
            due = self._passed(self._attempted_at, limits.retry_delay)
            if aged and due and not self._lock.locked():
                await self._refresh(self._fetches)
            return
        due = self._passed(self._attempted_at, limits.retry_delay_without_set)
        if self._joinable() or (due and not self._lock.locked()):
            await self._refresh(self._fetches)
        if not self._usable():
            raise AuthUnavailable(
                "The keys of the identity provider cannot be fetched now.",
                AuthCode.JWKS_UNAVAILABLE,
                limits.retry_delay_without_set,
            )

    def _usable(self) -> bool:
        return self._fetched_at is not None and not self._passed(
            self._fetched_at, self._limits.stale_max
        )

    def _may_be_surprised(self) -> bool:
        due = self._passed(self._surprised_at, self._limits.cooldown)
        return self._joinable() or (due and not self._lock.locked())

    def _joinable(self) -> bool:
        """Whether a fetch is on its way and there is room to wait for it."""
        waiting = self._lock.statistics().tasks_waiting
        return self._lock.locked() and waiting < self._limits.waiting_max

    def _passed(self, since: float | None, delay: float) -> bool:
        return since is None or self._monotonic() - since >= delay

    async def _refresh(self, fetches: int, *, surprised: bool = False) -> None:
        """Fetch, unless somebody has completed one since *fetches* was read."""
        async with self._lock:
            if self._fetches != fetches:
                return
            self._attempted_at = self._monotonic()
            if surprised:
                self._surprised_at = self._attempted_at
            try:
                with trio.CancelScope(shield=True):  # bounded by the fetcher's timeout
                    self._keys = parse_key_set(await self._fetcher.fetch())
                self._fetched_at = self._monotonic()
                self._last_failure = None
            except FetchFailed as error:
                self._failures += 1
                self._last_failure = error.reason
                logger.warning("key set not fetched", url=self._fetcher.name, reason=error.reason)
            finally:
                self._fetches += 1


def parse_key_set(body: bytes) -> tuple[VerificationKey, ...]:
    """The usable keys of a JSON Web Key Set. Raises `FetchFailed` if it is not one.

    How many there are, its bytes bound. A member that is no key for us is passed over.
    An empty set is a set: a provider that withdraws every key has said something,
    and keeping the old ones then would be deafness, not patience.
    """
    document: object = None
    with suppress(ValueError, RecursionError):
        document = json.loads(body)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise FetchFailed("the answer is not a JSON Web Key Set")
    usable = map(key_from_jwk, keys)
    return tuple(key for key in usable if key is not None)
