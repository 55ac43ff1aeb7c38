"""The plan of a run: how large the cluster is, how long the run lasts, and how the cluster is used.

The faults are in `simulation.faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

NODES: Final = "abcdefgh"
_PURGE_INTERVAL: Final = 600.0
"""Seconds between two purges, if the plan sets no retention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes and rates of a run; times are in virtual seconds.

    With one node there is no bus. Producers post, devices come and go and faults happen for
    *duration* seconds. Then all faults are mended, all devices come, and within *settling* seconds
    everything must be as promised.
    """

    seed: int = 0
    nodes: int = 3
    users: int = 10
    devices: int = 2
    """Per user."""
    producers: int = 3
    posts: float = 2.0
    """Posts per second, on average, of all producers together."""
    keys: float = 0.8
    """The share of posts with an idempotency key; they are repeated until they are answered."""
    broadcasts: float = 0.05
    """The share of posts to all users."""
    topics: float = 0.2
    """The share of posts to a topic."""
    collapses: float = 0.1
    """The share of posts that may renew an earlier one; the rest goes to one user or several."""
    expiries: float = 0.1
    """The share, among posts that do not collapse, of those that expire within a minute."""
    schedules: float = 0.1
    """The share, among posts that do not collapse, of those with a later delivery time."""
    updates: float = 0.1
    """The share of a producer's actions that update a post; likewise the next four."""
    withdrawals: float = 0.05
    inquiries: float = 0.03
    """The share that ask about a post, or where a user is."""
    subscriptions: float = 0.03
    """The share that put a user into a topic or take one out."""
    disconnections: float = 0.005
    """The share that disconnect a user."""
    bursts: float = 0.3
    """The share of producers that sometimes post several things at once."""
    sockets: float = 0.3
    """The share of producers that post over a WebSocket, with an API key."""
    actions: float = 0.03
    """Actions per second of each user: marks, lists, subscriptions and preferences."""
    mutes: float = 0.2
    """The share of categories and topics that a user mutes when setting preferences."""
    letters: float = 0.1
    """Looks per second at the dead letters by the operator, most of which are then settled."""
    webhook: float = 0.0
    """1 for a webhook that gets all receipts, 0 for none: then nothing of them is written."""
    webhook_trouble: float = 0.0
    """The share of batches that its receiver does not take in the first half of the run."""
    queue: float = 0.0
    """Messages per second that are put into the brokers' queues, all together; with 0 there are no
    queues and no connectors."""
    poison: float = 0.05
    """The share of these messages that no node can ever store."""
    escalations: float = 0.0
    """The share of a producer's posts with a plan of escalation; with 0 there are no channels."""
    channel_trouble: float = 0.2
    """The share of parcels with which a channel is in trouble in the first part of the run."""
    sink: float = 0.0
    """1 for a sink in a broker that gets all receipts, 0 for none."""
    sink_trouble: float = 0.0
    """The share of batches with which its broker is in trouble in the first half of the run."""
    looks: float = 0.5
    """Questions per second where some user is."""
    streams: float = 0.2
    """The share of sessions over Server-Sent Events."""
    polls: float = 0.15
    """The share of sessions over long polls; the remaining sessions are WebSockets."""
    bad_devices: float = 0.3
    """The share of devices that forget, refuse, stall, and come and go all the time."""
    resend_delay: float = 10.0
    """The nodes' setting; if it is short, an unanswered notification is a dead letter soon."""
    attempts: int = 20
    """The nodes' setting `delivery_attempts_max`: pushes until a dead letter."""
    retention: float = 0.0
    """The nodes' setting, and likewise the next two; 0 is the default, longer than any run."""
    retention_archived: float = 0.0
    retention_expired: float = 0.0
    duration: float = 60.0
    settling: float = 120.0
    calm: float = 0.0
    """Seconds in which nothing happens, after all has settled and before it is judged."""

    @property
    def purge_interval(self) -> float:
        """Seconds between two purges by a node: the shortest retention."""
        kept = (self.retention, self.retention_archived, self.retention_expired)
        return max(1.0, min((each for each in kept if each), default=_PURGE_INTERVAL))

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(NODES[: self.nodes])

    @property
    def user_names(self) -> tuple[str, ...]:
        return _numbered("u", self.users)

    @property
    def producer_names(self) -> tuple[str, ...]:
        return _numbered("p", self.producers)


@cache
def _numbered(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for number in range(count))
