"""The bus's port: it joins the nodes of a cluster. Its envelopes only wake nodes up.

The log is in the store. An envelope can be lost, delayed or heard twice without a loss of entries:
a session that sees a gap reads the store, and a deaf node reconciles. So the bus needs no
guarantees, only speed, and it must say when it does not work.

The same service also keeps data that must outlive a node but do not belong in the store: leases of
connected devices (`Presence`), and posts that producers made while the store was away (`Spool`).
And for a while the bus remembers the users that operators have disconnected, because a node that
did not hear that finds it nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from tocsin.protocol.errors import DescribedError

CLAIM_LIFETIME = 86_400.0
"""Seconds that the spool remembers a `Claim` at least: the default for idempotency keys."""
DISCONNECTED_LIFETIME = 3600.0
"""Seconds that the bus remembers disconnected users: longer than a node should be cut off."""
DISCONNECTED_MAX = 10_000
"""Marks of disconnected users that the bus remembers, the latest: a megabyte or two."""


class BusUnavailable(DescribedError):
    """The bus cannot be reached or did not answer in time. Try again later."""


class BusRefusals:
    """Counts data in the service that are not of this cluster, or unusable, and were ignored.

    `told` is called each time, with the kind of data, the reason, and how many there were.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.told: Callable[[str, str, int], None] = lambda what, why, count: None

    def add(self, what: str, why: str, count: int = 1) -> None:
        """Count a refusal. The kind *what* and the reason *why* are labels, of a fixed set."""
        self.counts[what, why] = self.counts.get((what, why), 0) + count
        self.told(what, why, count)


class Said(msgspec.Struct, frozen=True, gc=False):
    """A *payload* to be published on *channel*, or one that was heard there."""

    channel: str
    payload: bytes


class Gap(msgspec.Struct, frozen=True):
    """The bus may have lost envelopes on *channels*: the node has to reconcile with the store."""

    channels: tuple[str, ...]


Heard = Said | Gap


class Bus(Protocol):
    """Publish and subscribe. Its methods raise `BusUnavailable`, nothing else.

    A bus that was lost comes back by itself: it subscribes to all wanted channels again, and
    reports them as a `Gap`. Channels of a `subscribe` that raised are wanted too. Cancelling a call
    abandons its answer, not its work.
    """

    async def open(self) -> None:
        """Connect; safe to call again after a failure."""

    async def publish(self, messages: Sequence[Said]) -> None:
        """Publish all *messages*, in order, in one round trip."""

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Hear payloads that are published on *channels* after this has returned."""

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        """Stop hearing *channels*. Never raises: a bus that is away is not heard anyway."""

    async def receive(self) -> Sequence[Heard]:
        """Wait until something was heard; everything that waits, in order. One task may call it.

        It does not raise while the bus is away, but waits; the other calls raise. Cancelling loses
        nothing that was heard.
        """

    async def keep_disconnected(self, marks: Iterable[bytes]) -> None:
        """Remember *marks*, one of each user who was disconnected now, for `DISCONNECTED_LIFETIME`
        seconds.
        """

    async def disconnected(self) -> Mapping[bytes, float]:
        """The remembered marks: mark → seconds since it was made, the last time.

        Other programs may have put marks there: the caller has to recognise those of this cluster.
        """

    async def aclose(self) -> None:
        """Close all connections; never raises."""


class Connected(msgspec.Struct, frozen=True):
    """A device of a user is connected to *node*; *since* in Unix milliseconds."""

    device: str
    node: str
    since: int


def latest(connections: Iterable[Connected]) -> tuple[Connected, ...]:
    """Sort *connections* by device and node; of several of one device on one node, the latest."""
    ordered = sorted(connections, key=lambda each: (each.device, each.node, each.since))
    return tuple({(each.device, each.node): each for each in ordered}.values())


class Lease(msgspec.Struct, frozen=True):
    """*node* says that *device* of *user* is connected there, since *since* (Unix ms)."""

    user: str
    device: str
    node: str
    since: int


class Presence(Protocol):
    """Leases of connected devices. Its methods raise `BusUnavailable`.

    Leases end by the clock of the service, so that the clocks of nodes need not agree. A lease is
    of a device, a node, and the time at which the device came. So releasing the lease of an earlier
    connection does not end that of a later one. A cancelled call may have been done all the same.
    """

    async def hold(self, leases: Sequence[Lease], seconds: float) -> None:
        """Make or renew *leases*, which end by themselves *seconds* from now."""

    async def release(self, leases: Sequence[Lease]) -> None:
        """End *leases* now; ended ones are passed over."""

    async def devices_of(self, user: str) -> tuple[Connected, ...]:
        """The connections of *user* whose leases have not ended, by device and node.

        Of several leases of a device on one node, the latest counts.
        """


class SpoolEntry(msgspec.Struct, frozen=True):
    """A spooled entry: its *id*, which also orders entries, and its *payload*.

    An entry with a *fault* was not written by a node of this cluster, and must not be carried out;
    its payload may be cut off.
    """

    id: str
    payload: bytes
    fault: str = ""


class Replaying(StrEnum):
    """The outcome of an attempt to replay an entry that was set aside."""

    DONE = "done"
    ABSENT = "absent"
    REFUSED = "refused"
    """The entry is not of this cluster and no operator vouches for it; or it was kept in part."""


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key of a post that came while the store was away, and the answer to it."""

    key: str
    fingerprint: bytes
    answer: str


class SpoolDraft(msgspec.Struct, frozen=True):
    """A payload that becomes an entry, unless the key of its *claim* was claimed before.

    A draft with a claim and without a payload appends nothing: it asks for the earlier claim.
    """

    payload: bytes
    claim: Claim | None = None


class Appended(msgspec.Struct, frozen=True):
    """The outcome of drafts. *earlier* has an item for each: the earlier claim on its key, or
    `None`, if the draft has become an entry (or, without a payload, if the key is free).

    A *run* is the time from the first entry in an empty spool until the spool is empty again; here
    stands the name of the present one, empty if no entry waits.
    """

    run: str
    earlier: tuple[Claim | None, ...]


class Spool(Protocol):
    """The posts that producers made while the store was away, in order. Raises `BusUnavailable`.

    One node at a time takes entries, under a lease. If it dies before it has finished them, the
    next node takes them again. A cancelled call may have been done all the same.
    """

    async def append(self, drafts: Sequence[SpoolDraft]) -> Appended:
        """Durably append *drafts*, in order, except those whose keys were claimed before.

        This is one step and one round trip: of two drafts that come at the same time with one key,
        one is appended. If it raises, either all or none were.
        """

    async def take(self, node: str, limit: int, lease: float) -> Sequence[SpoolEntry] | None:
        """The first *limit* entries that are not done, oldest first; `None` while another node has
        the lease. Takes or renews the lease of *node* for *lease* seconds.
        """

    async def done(self, node: str, ids: Sequence[str]) -> None:
        """Forget the entries *ids*, which are in the store now."""

    async def poison(self, node: str, entries: Sequence[tuple[SpoolEntry, str]]) -> None:
        """Set *entries* aside, each with its reason, because they can never be stored.

        Has no effect while another node has the lease, because that node may be able to store them.
        Entries with a fault are kept in a smaller list of their own, so that they do not push out
        entries of this cluster.
        """

    async def poisoned(self, limit: int) -> Sequence[tuple[SpoolEntry, str]]:
        """At most *limit* entries that were set aside, with their reasons, the newest first.

        A payload may be cut off after its beginning.
        """

    async def replay(self, entry: str, *, vouched: bool = False) -> Replaying:
        """Append *entry*, which was set aside, as a new entry.

        One with a fault is appended only if an operator has looked at it and *vouched* for it.
        """

    async def discard(self, entry: str) -> bool:
        """Forget *entry*, which was set aside; whether it was there."""

    async def size(self) -> int:
        """The number of entries that wait."""
