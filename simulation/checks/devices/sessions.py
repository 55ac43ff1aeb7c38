"""P2, P3 and P4: every session, frame by frame, and that no change is left out between two pushes.

Grammar and repetitions are judged by the frames alone (`talk`, `pushes`). A left-out change is
found in the store: a row of the inbox has the sequence of its last change. If that lies between two
pushes, the change existed before the second of them was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulation.checks.check import Check, Complaint, ack_in
from simulation.checks.devices.talk import Talk
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory, sequence_of

LEFT_OUT: Final = """
    SELECT i.sequence, i.notification_id, i.state
    FROM inbox AS i
    JOIN notifications AS n ON n.id = i.notification_id
    LEFT JOIN deliveries AS d ON d.notification_id = i.notification_id
        AND d.user_id = i.user_id AND d.device_id = ?
    WHERE i.user_id = ? AND i.sequence > ? AND i.sequence < ?
        AND i.state <> 'withdrawn' AND i.expired_at IS NULL AND n.expires_at IS NULL
        AND NOT (d.notification_id IS NOT NULL AND d.sequence >= i.sequence AND (
            d.acknowledged_sequence >= i.sequence OR d.dead_reason IS NOT NULL OR d.attempts >= ?))
    ORDER BY i.sequence LIMIT 3
"""
"""The changes between two sequences that a device must be pushed and has not acknowledged."""

_OPEN: Final = "SELECT 1 FROM devices WHERE user_id = ? AND device_id = ? AND session_open"


class Sessions(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._talks: dict[SessionStory, Talk] = {}

    def opened(self, session: SessionStory) -> None:
        self._talks[session] = Talk(session, self.cluster.plan.attempts)

    def ended(self, session: SessionStory) -> None:
        self._talks.pop(session, None)

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        if session.transport == "websocket":
            talk = self._talks.get(session)
            if talk is not None:
                talk.answered(ack, self.now)
            return
        # An acknowledgment over HTTP may be refused; and all sessions of the device may process it.
        for other, talk in self._talks.items():
            is_its = (other.user, other.device) == (session.user, session.device)
            if is_its:
                talk.answered(ack, self.now, surely=False)

    def answered(self, request: RequestStory) -> None:
        if (ack := ack_in(request)) is None:
            return
        for session, talk in self._talks.items():
            is_its = f"{session.user}/{session.device}" == request.who
            if is_its and session.transport == "stream-explicit":
                talk.answered(ack, self.now, surely=not self._may_be_lost(session))

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        if session.transport == "poll":
            self._polled(session, frame)
            return
        talk = self._talks.get(session)
        if talk is None:
            return
        before = talk.position
        for complaint in talk.heard(frame, sent_at):
            self.complain(session, complaint)
        if frame["type"] == "push" and talk.position > before:
            self._look_between(session, before, frame["sequence"])
        elif frame["type"] == "synced":
            self._look_between(session, before, frame["sequence"] + 1)
        elif frame["type"] == "reset":
            self._judge_reset(session, frame["reason"])

    def look(self) -> None:
        # Frames under way are not heard yet; a second is more than they take.
        heard_by = self.now - 1.0
        for session, talk in self._talks.items():
            pushes = talk.pushes
            if pushes is None or not pushes.is_any_due(heard_by):
                continue
            if self.is_whole(session, session.began_at):
                for complaint in pushes.overdue(heard_by):
                    self.complain(session, complaint)

    def settled(self) -> str | None:
        current = [each.session.story for each in self.devices if each.session is not None]
        for session in current:
            talk = self._talks.get(session)
            if talk is None:
                continue
            who = f"{session.user}/{session.device}"
            if not talk.synced and session.transport != "poll":
                return f"{who} is not synced"
            if talk.pushes is not None:
                for push in talk.pushes.open.values():
                    if not (push.expires or push.superseded):
                        return f"{who} has not acknowledged {push.sequence}"
        return None

    # --- Inside ----------------------------------------------------------------------------------

    def _may_be_lost(self, session: SessionStory) -> bool:
        """Whether the store may not know *session*, because it has purged the device since.

        Then the node of the session is not told what the device acknowledges over HTTP.
        """
        rows = self.cluster.store.rows(_OPEN, session.user, session.device)
        return not rows and self.may_be_forgotten(session.began_at)

    def _look_between(self, session: SessionStory, after: int, before: int) -> None:
        if before <= after + 1 or self.may_be_forgotten(session.began_at):
            # With its device, the store forgets what the device was given up for.
            return
        attempts = self.cluster.plan.attempts
        rows = self.cluster.store.rows(
            LEFT_OUT, session.device, session.user, after, before, attempts
        )
        if rows:
            text = f"nothing was pushed between {after} and {before}, but there is {rows}"
            self.complain(session, Complaint("P4", text))

    def _judge_reset(self, session: SessionStory, reason: str) -> None:
        welcome, hello = session.welcome, session.hello
        if reason == "horizon" or welcome is None:
            rows = self.cluster.store.rows(
                "SELECT 1 FROM users WHERE user_id = ? AND horizon > 0", session.user
            )
            if not rows:
                self.complain(session, Complaint("P4", "reset horizon, and nothing was purged"))
        elif hello is None or (
            hello.partition(".")[0] == welcome["epoch"] and sequence_of(hello) <= welcome["head"]
        ):
            self.complain(session, Complaint("P4", f"reset {reason}, and {hello} could be served"))

    def _polled(self, session: SessionStory, answer: Frame) -> None:
        if answer["type"] != "changes":
            return
        hello = session.hello
        is_new = hello is None or hello == "0" or answer.get("reset", False)
        after = 0 if is_new else sequence_of(hello or "0")
        cursor = sequence_of(answer["cursor"])
        for number, push in enumerate(answer["changes"]):
            sequence, previous = push["sequence"], push["previous"]
            if number == 0 and hello is None:
                after = previous
            if sequence <= after or previous != after:
                text = f"the answer to {hello} has {sequence} behind {previous}, not {after}"
                self.complain(session, Complaint("P3", text))
            else:
                self._look_between(session, after, sequence)
            after = sequence
        if cursor < after:
            self.complain(session, Complaint("P4", f"the cursor is {cursor}, behind {after}"))
        elif not (is_new and not answer["changes"]):
            self._look_between(session, after, cursor + 1)
