"""What is simulated: how large, how long, and how it is used. Faults are in `faults`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

NODES: Final = "abcdefgh"
_PURGE_INTERVAL: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """*nodes* 1 is a node alone, without a bus; times are in virtual seconds.

    Producers post and devices come and go for *duration*, in which faults happen; then all that is
    broken is mended, all devices come, and within *settling* everything has to be as promised.
    """

    seed: int = 0
    nodes: int = 3
    users: int = 10
    devices: int = 2
    """Of each user."""
    producers: int = 3
    posts: float = 2.0
    """A second, of all producers together, on average."""
    keys: float = 0.8
    """Of all posts, those with an idempotency key: they are repeated until they are answered."""
    broadcasts: float = 0.05
    """Posts to all."""
    topics: float = 0.2
    """Posts to a topic."""
    collapses: float = 0.1
    """Posts that may renew an earlier one; what is left is to one user, or to several."""
    expiries: float = 0.1
    """Of the posts that do not collapse, those that expire within a minute."""
    schedules: float = 0.1
    """Those that are to be delivered later."""
    updates: float = 0.1
    """Of all that producers do."""
    withdrawals: float = 0.05
    inquiries: float = 0.03
    """Looks at what became of a post."""
    subscriptions: float = 0.03
    """Users put into a topic, or taken out."""
    disconnections: float = 0.005
    """Users who are disconnected, as an operator does it."""
    bursts: float = 0.3
    """Of all producers, those that post several things at once at times."""
    sockets: float = 0.3
    """Those that post over a WebSocket, with an API key."""
    actions: float = 0.03
    """A second, of each user: what they mark, list and set."""
    mutes: float = 0.2
    """Of all categories and topics in a user's preferences, those that are muted."""
    letters: float = 0.1
    """A second, of the operator: looks at dead letters, most of which are then settled."""
    looks: float = 0.5
    """A second, of all together: questions where somebody is."""
    streams: float = 0.2
    """Of all sessions, those over Server-Sent Events."""
    polls: float = 0.15
    """Those over long polls; the rest is WebSockets."""
    bad_devices: float = 0.3
    """Of all devices, those that forget, refuse, stall, and come and go all the time."""
    resend_delay: float = 10.0
    """The nodes' setting: with a short one, a device that does not answer is soon given up."""
    attempts: int = 20
    """Theirs too: how often something is sent to a device, until it is a dead letter."""
    retention: float = 0.0
    """Theirs too, as the next two; 0 is what they have by themselves, which no run lives to see."""
    retention_archived: float = 0.0
    retention_expired: float = 0.0
    duration: float = 60.0
    settling: float = 120.0
    calm: float = 0.0
    """After all is settled, so long nothing happens at all before it is judged."""

    @property
    def purge_interval(self) -> float:
        """Seconds between two purges of a node: as long as what is kept for the shortest time."""
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
