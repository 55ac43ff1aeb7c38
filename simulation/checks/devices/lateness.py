"""P6 and P7: a connected device is pushed each change within seconds, whichever node committed it.

Without the bus it takes a second or two longer, after the node knows that it does not hear. A
message that the bus loses unnoticed is made up for when heads are compared. Only trouble of the
device's node or of the store excuses more, or a device that has not acknowledged its window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from simulation.checks.check import Check
from simulation.checks.devices.sessions import LEFT_OUT
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, SessionStory, sequence_of

_LATE: Final = 9.0
"""Seconds: a node that hears nothing knows it after four, looks at heads every second, reads the
changes and pushes them."""
_UNNOTICED: Final = 22.0
"""Seconds until a loss is found that no node can notice."""


@dataclass(slots=True)
class _Place:
    """The *position* up to which a session was pushed, and since when the log is further."""

    position: int
    window: int
    unanswered: dict[int, str] = field(default_factory=dict)
    """The pushes not yet acknowledged: sequence to notification id."""
    behind_since: float | None = None

    def answered_by(self, ack: Frame) -> list[int]:
        """The pushes that *ack* acknowledges; an id means the oldest change of a notification."""
        if "sequence" in ack:
            return [each for each in self.unanswered if each <= ack["sequence"]]
        first: dict[str, int] = {}
        for sequence, id_ in sorted(self.unanswered.items()):
            first.setdefault(id_, sequence)
        return [first[id_] for id_ in ack.get("ids", ()) if id_ in first]


class Lateness(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._places: dict[SessionStory, _Place] = {}

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        place = self._places.get(session)
        match frame["type"]:
            case "welcome":
                self._places[session] = _Place(sequence_of(frame["cursor"]), frame["window"])
            case "push" | "synced" if place is not None:
                if frame["type"] == "push":
                    place.unanswered[frame["sequence"]] = frame["notification"]["id"]
                if frame["sequence"] > place.position:
                    place.position, place.behind_since = frame["sequence"], None
            case "reset" if place is not None:
                place.position, place.behind_since = 0, None
            case _:
                pass

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        if (place := self._places.get(session)) is not None:
            if len(place.unanswered) >= place.window:
                # The node could push nothing until now.
                place.behind_since = None
            for sequence in place.answered_by(ack):
                del place.unanswered[sequence]

    def ended(self, session: SessionStory) -> None:
        self._places.pop(session, None)

    def look(self) -> None:
        heads: dict[str, int] = dict(self.cluster.store.rows("SELECT user_id, head FROM users"))
        for session, place in self._places.items():
            if heads.get(session.user, 0) <= place.position:
                place.behind_since = None
            elif place.behind_since is None:
                place.behind_since = self.now
            elif self.now - place.behind_since > _LATE:
                self._judge(session, place, place.behind_since)

    # --- Inside ----------------------------------------------------------------------------------

    def _judge(self, session: SessionStory, place: _Place, since: float) -> None:
        troubles, who = self.history.troubles, f"{session.user}/{session.device}"
        hindered = troubles.touch(since - 15.0, self.now, session.host, "store")
        if (
            hindered
            or len(place.unanswered) >= place.window
            or not self.is_whole(session, since - 1.0)
        ):
            place.behind_since = None
            return
        is_noisy = troubles.touch(since - _UNNOTICED, self.now, "bus", *self.cluster.hosts)
        if self.now - since < (_UNNOTICED if is_noisy else _LATE):
            return
        place.behind_since = None
        rows = self.cluster.store.rows(
            LEFT_OUT,
            session.device,
            session.user,
            place.position,
            2**53,
            self.cluster.plan.attempts,
        )
        if rows:
            text = f"was pushed nothing behind {place.position} since {since:.3f}: {rows}"
            self.violated("P7", who, f"{text} ({session.transport} at {session.host})")
