"""What all checks have in common: they watch, they look, they say what is missing, they judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory, Watcher
from tocsin.settings import Settings

SETTINGS: Final = Settings(node="checked")
"""What nodes are run with, where the plan says nothing else."""


_KNOWN: Final = """
    SELECT 1 FROM devices WHERE user_id = ? AND device_id = ? AND NOT removed AND last_seen > ?
"""
_LOOKED_AT: Final = 20.0
"""Seconds by which the store may be late to look at a device that has come."""


class Complaint(NamedTuple):
    """Something that a promise does not allow.

    With *since* it is none if the node, the bus or the store was in trouble between then and now.
    """

    promise: str
    what: str
    since: float | None = None


def ack_in(request: RequestStory) -> Frame | None:
    """What *request* has acknowledged for good, as a frame would say it."""
    if request.operation != "acknowledge" or request.status != 204:
        return None
    if "ids" in request.body:
        return {"type": "ack", "ids": request.body["ids"]}
    return {"type": "ack", "sequence": sequence_of(request.body["cursor"])}


def sequence_of(cursor: str) -> int:
    """The sequence that a cursor names."""
    return int(cursor.rpartition(".")[2].partition("~")[0])


class Check(Watcher):
    """The judge of one subject.

    Made before the run begins, with the cluster to judge and the *devices* of the run.
    """

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        self.cluster = cluster
        self.devices = devices
        self.history = cluster.history

    @property
    def now(self) -> float:
        """The simulation's time, in seconds."""
        return self.history.now()

    def answerable(self, session: SessionStory) -> tuple[str, ...]:
        """Whose troubles may be those of *session*; none named is everybody's."""
        # What this one acknowledges goes to any node, and from there over the bus.
        is_apart = session.transport == "stream-explicit"
        return () if is_apart else (session.host, "bus", "store")

    def is_whole(self, session: SessionStory, since: float) -> bool:
        """Whether what is sent on *session* arrives, for certain, and has done since a time.

        A device may hold on to a connection that its node has ended or taken to the grave.
        """
        host, troubles = self.cluster.hosts[session.host], self.history.troubles
        return (
            host.node is not None
            and host.process_number == session.process
            and not troubles.touch_by(session.began_at, self.now, session.host, "cut")
            and not troubles.touch_by(since, self.now, session.host, "stalled")
            and not troubles.touch(since, self.now, f"{session.user}/{session.device}")
        )

    def may_be_unknown(self, session: SessionStory) -> bool:
        """Whether the store may not know the device of *session*, which begins now, any more."""
        retention = self.cluster.plan.retention
        if not retention:
            return False
        ahead = max(host.clock_most for host in self.cluster.hosts.values()) / 1000
        kept_from = self.cluster.now_ms() - 1000 * (retention - _LOOKED_AT - ahead)
        who = session.user, session.device
        return not self.cluster.store.rows(_KNOWN, *who, kept_from)

    def may_be_forgotten(self, since: float) -> bool:
        """Whether a device of which the store has heard nothing *since* a time may be purged, with
        what the ledger says of it: also one that is connected."""
        retention = self.cluster.plan.retention
        ahead = max(host.clock_most for host in self.cluster.hosts.values()) / 1000
        return bool(retention) and self.now - since > retention - ahead

    def violated(self, promise: str, subject: str, what: str) -> None:
        """*promise* was broken towards *subject*; *what* says what was expected and what seen."""
        self.cluster.violated(promise, subject, what)

    def complain(self, session: SessionStory, complaint: Complaint) -> None:
        """Report what is wrong in *session*, unless it is excused."""
        since = complaint.since
        if since is not None and self.history.troubles.touch(
            since, self.now, *self.answerable(session)
        ):
            return
        self.violated(
            complaint.promise,
            f"{session.user}/{session.device}",
            f"{complaint.what} ({session.transport} at {session.host}#{session.process}"
            f" since {session.began_at:.3f})",
        )

    def look(self) -> None:
        """Called once a second (virtual)."""

    def settled(self) -> str | None:
        """What is still to happen before all is quiet; asked once all is mended."""
        return None

    def finish(self) -> None:
        """All is quiet: judge what is there."""
