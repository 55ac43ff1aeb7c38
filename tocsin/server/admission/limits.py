"""The share of a node that one peer, and one credential, may take at a time.

Without this, whoever is first may have everything: one address every connection, one token all the
memory that bodies of requests are read into. So connections, requests under way, bytes of bodies
under way and requests a second are counted for each *address* and for each *credential*, and what
goes beyond is refused with words that a client can act on (`Excess`).

    limits.admit_connection(address)         at accept, and for an upgrade or stream behind a proxy
    held = limits.admit_request(address, now)        when a head has been read
    held.charge(principal.credential, now)           when the credential is believed
    held.reserve(byte_count)                         as a body is declared, or arrives
    held.release()                                   when the answer is out; streams: when it begins
    limits.connection_closed(address)

The books cannot be used to fill memory either. A client with something open has an account, so
there are at most as many as there are connections; of the others the last `IDLE_MAX` are remembered
for the sake of their rate, and the one that was idle longest is forgotten first.

IPv6 peers are counted by /64, which is the least that anybody is given (RFC 6177); IPv4 peers by
address, also where they are written as IPv6. Loopback addresses and proxies (`exempt`) speak for
many, so as addresses they have no limits. Each node counts for itself. All of it is arithmetic on
the path of every request: time comes in as an argument, in seconds of a clock that never goes back.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from tocsin.protocol import retry_after

IDLE_MAX: Final = 8_192
"""Accounts of each kind that are remembered while nothing is open: 3 MiB or so."""
KEYS_MAX: Final = 8_192
"""Addresses whose account is known by their text, without parsing it."""


class Limit(StrEnum):
    """The limits, each by the name of its setting."""

    PEER_CONNECTIONS = "peer_connections_max"
    PEER_REQUESTS = "peer_requests_max"
    PEER_BODY_BYTES = "peer_body_bytes_max"
    PEER_RATE = "peer_rate"
    CREDENTIAL_REQUESTS = "credential_requests_max"
    CREDENTIAL_BODY_BYTES = "credential_body_bytes_max"
    CREDENTIAL_RATE = "credential_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFigures:
    """How much; rates are requests a second, and *rate_window* seconds' worth may come at once."""

    peer_connections_max: int
    peer_requests_max: int
    peer_body_bytes_max: int
    peer_rate: float
    credential_requests_max: int
    credential_body_bytes_max: int
    credential_rate: float
    rate_window: float


@dataclass(frozen=True, slots=True)
class Excess:
    """A request beyond its share: by which limit, and after how many seconds it may be granted.

    *quota* and *remaining* are in the limit's *unit*, one of the quota units of the draft below;
    None for connections, of which it has none. *window* is in seconds, None for what is counted
    while it lasts.
    """

    limit: Limit
    retry_after: float
    quota: int
    remaining: int
    unit: str | None
    window: int | None = None

    @property
    def detail(self) -> str:
        """A sentence for the problem that the client gets."""
        whose = "This address" if self.limit.startswith("peer") else "This credential"
        return f"{whose} has reached {self.limit} ({self.quota}); come back a little later."

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """`Retry-After`, with `RateLimit-Policy` and `RateLimit` where they have a word for it.

        As in draft-ietf-httpapi-ratelimit-headers-11: lists of structured fields (RFC 9651).
        """
        return (("Retry-After", str(self._seconds)), *self.quota_headers)

    @property
    def quota_headers(self) -> tuple[tuple[str, str], ...]:
        """`RateLimit-Policy` and `RateLimit` alone."""
        if self.unit is None:
            return ()
        window = "" if self.window is None else f";w={self.window}"
        unit = "" if self.unit == "requests" else f';qu="{self.unit}"'  # which is the default
        return (
            ("RateLimit-Policy", f'"{self.limit}";q={self.quota}{unit}{window}'),
            ("RateLimit", f'"{self.limit}";r={self.remaining};t={self._seconds}'),
        )

    @property
    def _seconds(self) -> int:
        return max(1, math.ceil(self.retry_after))


class _Account:
    """The things that one key has open. Its bucket is one time: up to when it has used its rate.

    That is GCRA, a token bucket turned around: each request moves the time on by what it costs, and
    one that would move it further ahead of now than the window is refused.
    """

    __slots__ = ("body_bytes", "book", "connections", "key", "requests", "used_until")

    def __init__(self, book: _Book, key: str | bytes) -> None:
        self.book = book
        self.key = key
        self.connections = 0
        self.requests = 0
        self.body_bytes = 0
        self.used_until = -math.inf


class _Book:
    """The accounts of one kind. Those in *busy* have something open; the rest may be forgotten."""

    __slots__ = (
        *("body_bytes", "busy", "idle", "idle_max", "interval"),
        *("names", "rate", "requests", "window"),
    )

    def __init__(
        self,
        names: tuple[Limit, Limit, Limit],
        requests: float,
        body_bytes: float,
        rate: float,
        window: float,
        idle_max: int,
    ) -> None:
        self.names = names
        self.requests = requests
        self.body_bytes = body_bytes
        self.rate = rate
        self.idle_max = idle_max
        self.interval = 1.0 / rate
        # One request may come whatever the window is.
        self.window = max(window, self.interval)
        self.busy: dict[str | bytes, _Account] = {}
        self.idle: OrderedDict[str | bytes, _Account] = OrderedDict()

    def open(self, key: str | bytes) -> _Account:
        """The account of *key*, which is busy from now on; see `rest`."""
        account = self.busy.get(key)
        if account is None:
            account = self.idle.pop(key, None) or _Account(self, key)
            self.busy[key] = account
        return account

    def rest(self, account: _Account) -> None:
        """Put *account* among the idle if it has nothing open any more."""
        if account.requests or account.connections:
            return
        del self.busy[account.key]
        self.idle[account.key] = account
        if len(self.idle) > self.idle_max:
            self.idle.popitem(last=False)

    def begin(self, key: str | bytes, now: float) -> _Account | Excess:
        """Count a request that begins."""
        account = self.busy.get(key) or self.open(key)
        until = account.used_until
        if until < now:
            until = now
        until += self.interval
        if account.requests < self.requests and until - now <= self.window:
            account.used_until = until
            account.requests += 1
            return account
        refusal = self._refused(account, until - now - self.window)
        self.rest(account)
        return refusal

    def _refused(self, account: _Account, early: float) -> Excess:
        requests, _, rate = self.names
        if account.requests >= self.requests:
            requests_max = int(self.requests)
            return Excess(requests, retry_after.SOON, requests_max, 0, "concurrent-requests")
        # A whole number of seconds for the client; the quota is what they are worth.
        window = max(1, math.ceil(self.window))
        return Excess(rate, early, max(1, int(self.rate * window)), 0, "requests", window)


class HeldShare:
    """The share that one request holds of its address's and credential's limits, until
    `release`."""

    __slots__ = ("_body_bytes", "_credential", "_credentials", "_peer")

    def __init__(self, peer: _Account, credentials: _Book) -> None:
        self._peer: _Account | None = peer
        self._credentials = credentials
        self._credential: _Account | None = None
        self._body_bytes = 0

    def charge(self, credential: str, now: float) -> Excess | None:
        """Count the request for *credential* (`Principal.credential`) too: once, before `reserve`.

        Refused, the request still holds its address's place until `release`.
        """
        account = self._credentials.begin(credential, now)
        if isinstance(account, Excess):
            return account
        self._credential = account
        return None

    def reserve(self, byte_count: int) -> Excess | None:
        """Take room for *byte_count* more bytes of the body; all of it ends with `release`.

        Reserve what is declared at once, or what arrives without being declared bit by bit. Raises
        `RuntimeError` after `release`.
        """
        if self._peer is None:
            raise RuntimeError("this request is over")
        for account in (self._peer, self._credential):
            if account is not None and account.body_bytes + byte_count > account.book.body_bytes:
                body_bytes_max = int(account.book.body_bytes)
                left = body_bytes_max - account.body_bytes
                name = account.book.names[1]
                return Excess(name, retry_after.SOON, body_bytes_max, left, "content-bytes")
        self._peer.body_bytes += byte_count
        if self._credential is not None:
            self._credential.body_bytes += byte_count
        self._body_bytes += byte_count
        return None

    def release(self) -> None:
        """Give everything back; again is no harm."""
        peer, credential = self._peer, self._credential
        if peer is None:
            return
        self._peer = self._credential = None
        peer.requests -= 1
        peer.body_bytes -= self._body_bytes
        peer.book.rest(peer)
        if credential is not None:
            credential.requests -= 1
            credential.body_bytes -= self._body_bytes
            credential.book.rest(credential)


class Limits:
    """See the module. *exempt* are the networks of proxies, whose own addresses have no limits.

    *idle_max* accounts of each kind are remembered while nothing is open.
    """

    def __init__(
        self,
        figures: LimitFigures,
        *,
        exempt: Iterable[IPv4Network | IPv6Network] = (),
        idle_max: int = IDLE_MAX,
    ) -> None:
        self._figures = figures
        self._exempt = tuple(exempt)
        self._peers = _Book(
            (Limit.PEER_REQUESTS, Limit.PEER_BODY_BYTES, Limit.PEER_RATE),
            figures.peer_requests_max,
            figures.peer_body_bytes_max,
            figures.peer_rate,
            figures.rate_window,
            idle_max,
        )
        self._credentials = _Book(
            (Limit.CREDENTIAL_REQUESTS, Limit.CREDENTIAL_BODY_BYTES, Limit.CREDENTIAL_RATE),
            figures.credential_requests_max,
            figures.credential_body_bytes_max,
            figures.credential_rate,
            figures.rate_window,
            idle_max,
        )
        # One account for all that are exempt, which never reaches anything.
        self._boundless = _Book(self._peers.names, math.inf, math.inf, math.inf, math.inf, 1)
        self._key = lru_cache(KEYS_MAX)(self._make_key)

    def is_exempt(self, address: str) -> bool:
        """Whether *address* has no limits as an address."""
        return self._key(address) == b""

    def admit_connection(self, address: str) -> Excess | None:
        """Count a connection that begins; each admitted one is to be `connection_closed` once."""
        key = self._key(address)
        if key == b"":
            return None
        connections_max = self._figures.peer_connections_max
        account = self._peers.open(key)
        if account.connections < connections_max:
            account.connections += 1
            return None
        self._peers.rest(account)
        return Excess(Limit.PEER_CONNECTIONS, retry_after.SOON, connections_max, 0, None)

    def connection_closed(self, address: str) -> None:
        """A connection that was admitted for *address* has ended."""
        key = self._key(address)
        if key != b"":
            account = self._peers.busy[key]
            assert account.connections > 0, "a connection was closed that was never admitted"
            account.connections -= 1
            self._peers.rest(account)

    def admit_request(self, address: str, now: float) -> HeldShare | Excess:
        """Count a request that begins, for *address*; *now* in seconds, monotonic."""
        key = self._key(address)
        book = self._boundless if key == b"" else self._peers
        account = book.begin(key, now)
        return account if isinstance(account, Excess) else HeldShare(account, self._credentials)

    def _make_key(self, address: str) -> str | bytes:
        """The key of the account of *address*; empty for those without limits."""
        parsed = _parse(address)
        if parsed is None:
            return address
        if parsed.is_loopback or any(parsed in network for network in self._exempt):
            return b""
        return str(parsed) if isinstance(parsed, IPv4Address) else parsed.packed[:8]


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(
            address.partition("%")[0]
        )  # a zone tells our interfaces apart, not peers
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
