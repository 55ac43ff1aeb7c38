"""The base of all checks, and helpers that several of them use.

A check watches the history, looks at the cluster once a second, says what is missing while the run
settles, and judges at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory, Watcher, sequence_of
from tocsin.settings import Settings
from tocsin.wiring import NOTES_IN_RETENTION

SETTINGS: Final = Settings(node="checked")
"""The nodes' settings, as far as the plan does not change them."""


_KNOWN: Final = """
    SELECT 1 FROM devices WHERE user_id = ? AND device_id = ? AND NOT removed AND last_seen > ?
"""
_LOOKED_AT: Final = 20.0
"""Seconds that the store may take to note that a device has come."""


class Complaint(NamedTuple):
    """A broken promise, and the text that says how.

    With *since*, it is excused if the node, the bus or the store was in trouble between then and
    now.
    """

    promise: str
    what: str
    since: float | None = None


def ack_in(request: RequestStory) -> Frame | None:
    """The acknowledgment that *request* has surely made, as a frame; `None` if it made none."""
    if request.operation != "acknowledge" or request.status != 204:
        return None
    if "ids" in request.body:
        return {"type": "ack", "ids": request.body["ids"]}
    return {"type": "ack", "sequence": sequence_of(request.body["cursor"])}


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
        """The parts whose troubles can excuse *session*, for `Troubles.touch`; none means all."""
        # This transport acknowledges at any node, and the session's node is told over the bus.
        is_apart = session.transport == "stream-explicit"
        return () if is_apart else (session.host, "bus", "store")

    def is_whole(self, session: SessionStory, since: float) -> bool:
        """Whether frames sent on *session* surely arrive, and have done so since *since*.

        False for a connection that its node has ended, or that was left by a node's death: the
        device may not have noticed.
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
        """Whether the store may have forgotten the device of *session*, which begins now."""
        retention = self.cluster.plan.retention
        if not retention:
            return False
        ahead = max(host.clock_most for host in self.cluster.hosts.values()) / 1000
        kept_from = self.cluster.now_ms() - 1000 * (retention - _LOOKED_AT - ahead)
        who = session.user, session.device
        return not self.cluster.store.rows(_KNOWN, *who, kept_from)

    def may_be_forgotten(self, since: float) -> bool:
        """Whether the store may have purged a device, with its ledger, of which it last heard at
        *since*.

        A connected device may be purged too. The store hears of it now and then (`seen_interval`),
        so it may have been last seen before it left.
        """
        retention = self.cluster.plan.retention
        ahead = max(host.clock_most for host in self.cluster.hosts.values()) / 1000
        unnoted = max(1.0, retention / NOTES_IN_RETENTION)
        return bool(retention) and self.now - since > retention - unnoted - ahead

    def violated(self, promise: str, subject: str, what: str) -> None:
        """*promise* was broken towards *subject*; *what* has the expectation and the fact."""
        self.cluster.violated(promise, subject, what)

    def complain(self, session: SessionStory, complaint: Complaint) -> None:
        """Report *complaint* about *session*, unless it is excused."""
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
        """Judge what can be judged now; called once per virtual second."""

    def settled(self) -> str | None:
        """Say what must still happen before all is quiet, or `None`; asked after the mending."""
        return None

    def finish(self) -> None:
        """Judge the final state; called once, when all is quiet."""


MakeCheck: TypeAlias = Callable[[Cluster, Sequence[Device]], Check]
"""Makes a check for the cluster and the devices of a run: the check's class, usually."""
