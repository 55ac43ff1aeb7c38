"""The bus's port: what joins the nodes of a cluster. Only ever a wake-up.

The log is in the store; whatever is said here can be lost, delayed or said twice, and nothing is
lost with it: a session that sees a gap reads the store, and a node that is deaf reconciles. So the
bus needs no guarantees, only speed, and honesty about when it does not work.

The same service also keeps what must outlive a node but does not belong in the store: leases that
say who is connected where (`Presence`), and what producers posted while the store was away
(`Spool`). And for a while the bus itself keeps whom operators have disconnected, because that is
nowhere else to be found by a node that did not hear it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from tocsin.protocol.errors import DescribedError

CLAIM_LIFETIME = 86_400.0
"""Seconds that the spool remembers a `Claim` at the least: as long as keys are kept by default."""
DISCONNECTED_LIFETIME = 3600.0
"""Seconds that the bus remembers who was disconnected: longer than a node should be cut off."""
DISCONNECTED_MAX = 10_000
"""Marks that it remembers, the latest: a megabyte or two."""


class BusUnavailable(DescribedError):
    """The bus cannot be reached or did not answer in time. Try again later."""


class BusRefusals:
    """What was found in the service that is not of this cluster, or no use: counted, not heeded.

    *told* is called each time, with what it was, why it was refused, and how many there were.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.told: Callable[[str, str, int], None] = lambda what, why, count: None

    def add(self, what: str, why: str, count: int = 1) -> None:
        """*what* was refused, *why*: both of a few words that the program knows."""
        self.counts[what, why] = self.counts.get((what, why), 0) + count
        self.told(what, why, count)


class Said(msgspec.Struct, frozen=True, gc=False):
    """*payload* is to be heard, or was heard, on *channel*."""

    channel: str
    payload: bytes


class Gap(msgspec.Struct, frozen=True):
    """Something may have been said on *channels* that was not heard: reconcile from the store."""

    channels: tuple[str, ...]


Heard = Said | Gap


class Bus(Protocol):
    """Publish and subscribe. All methods raise `BusUnavailable`, nothing else.

    A bus that was lost comes back by itself: what was subscribed is subscribed again, and its
    channels are reported as a `Gap`. That goes for calls too that raised: the bus remembers which
    channels are wanted. Cancelling a call abandons its answer, not its work.
    """

    async def open(self) -> None:
        """Connect, or raise; safe to call again after a failure."""

    async def publish(self, messages: Sequence[Said]) -> None:
        """Say all *messages*, in order, in one round trip."""

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Hear what is said on *channels* from when this returns."""

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        """Hear no more of *channels*; never raises, because what is not heard needs no bus."""

    async def receive(self) -> Sequence[Heard]:
        """Wait for something to be heard; all that is there, in order. One task may wait.

        Waits while the bus is away as well: that it is, the other calls tell. Cancelling loses
        nothing that was heard.
        """

    async def keep_disconnected(self, marks: Iterable[bytes]) -> None:
        """Remember for `DISCONNECTED_LIFETIME` that *marks*, each of a user, were made now."""

    async def disconnected(self) -> Mapping[bytes, float]:
        """The marks of that time, and how many seconds ago each was made, the last time.

        They may be anybody's: whoever reads them has to know which are of this cluster.
        """

    async def aclose(self) -> None:
        """Let go of everything; never raises."""


class Connected(msgspec.Struct, frozen=True):
    """A device of a user is connected to *node*; *since* in Unix milliseconds."""

    device: str
    node: str
    since: int


def latest(connections: Iterable[Connected]) -> tuple[Connected, ...]:
    """Of several of one device on one node the latest; in the order of `Presence.of`."""
    ordered = sorted(connections, key=lambda each: (each.device, each.node, each.since))
    return tuple({(each.device, each.node): each for each in ordered}.values())


class Lease(msgspec.Struct, frozen=True):
    """*device* of *user* is connected, by the word of *node*."""

    user: str
    device: str
    node: str
    since: int


class Presence(Protocol):
    """Leases of who is connected where. All methods raise `BusUnavailable`.

    Time is the service's own, so that nodes need not agree on it. A lease is of a device, a node
    and when the device came: releasing what was before does not end what is now.
    """

    async def hold(self, leases: Sequence[Lease], seconds: float) -> None:
        """Make or renew *leases*: they end by themselves *seconds* from now."""

    async def release(self, leases: Sequence[Lease]) -> None:
        """End *leases* now; those that have ended are passed over."""

    async def of(self, user: str) -> tuple[Connected, ...]:
        """The devices of *user* whose leases have not ended, by device and node; of several leases
        of a device on one node, the latest."""


class SpoolEntry(msgspec.Struct, frozen=True):
    """Something that was spooled: *id* says its place, *payload* what it is.

    With a *fault* it was not put there by a node of this cluster, and is not to be heeded; the
    payload may be a part of it then.
    """

    id: str
    payload: bytes
    fault: str = ""


class Replaying(StrEnum):
    """What became of trying to replay what was put aside."""

    DONE = "done"
    ABSENT = "absent"
    REFUSED = "refused"
    """It is not of this cluster, and nobody vouches for it; or not all of it was kept."""


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key that was seen while the store was away, and what was answered."""

    key: str
    fingerprint: bytes
    answer: str


class SpoolDraft(msgspec.Struct, frozen=True):
    """What is to become an entry, unless its key was claimed before.

    With a claim and no payload only the earlier claim is asked for.
    """

    payload: bytes
    claim: Claim | None = None


class Appended(msgspec.Struct, frozen=True):
    """What became of drafts: for each the *earlier* claim on its key, or `None`: it is an entry
    (or, without a payload, nothing).

    A *run* is the time from the first entry in an empty spool until it is empty again; this is the
    one that the drafts were appended to, or found. Empty if nothing waits.
    """

    run: str
    earlier: tuple[Claim | None, ...]


class Spool(Protocol):
    """What producers posted while the store was away, in order. All methods raise `BusUnavailable`.

    One node at a time takes from it, under a lease; what it took and did not finish before it died
    is taken again by the next.
    """

    async def append(self, drafts: Sequence[SpoolDraft]) -> Appended:
        """Durably append *drafts*, in order, but for those whose keys were claimed before.

        All in one step and one round trip: of two that come at the same time with one key, one is
        appended. If it raises, all or none of them were.
        """

    async def take(self, node: str, limit: int, lease: float) -> Sequence[SpoolEntry] | None:
        """The first *limit* entries that are not done, oldest first; `None` while another node has
        the lease. Holds or renews the lease for *lease* seconds."""

    async def done(self, node: str, ids: Sequence[str]) -> None:
        """*ids* are in the store now: forget them."""

    async def poison(self, node: str, entries: Sequence[tuple[SpoolEntry, str]]) -> None:
        """*entries* can never be stored: keep each aside, with its reason, and go on behind them.

        Nothing happens while another node has the lease: it may see that differently. Of those with
        a fault fewer are kept, and apart, so that they drive out none of ours.
        """

    async def poisoned(self, limit: int) -> Sequence[tuple[SpoolEntry, str]]:
        """What was put aside, the newest first; of each payload perhaps the beginning alone."""

    async def replay(self, entry: str, *, vouched: bool = False) -> Replaying:
        """Append again, as a new entry, what was put aside as *entry*.

        What had a fault only if somebody who has looked at it has *vouched* that it is good.
        """

    async def discard(self, entry: str) -> bool:
        """Forget what was put aside as *entry*; whether it was there."""

    async def size(self) -> int:
        """How many entries wait."""
