"""P2: the ledger says what devices did. Judged at the end, each line against the sessions.

It never says more: a line that is acknowledged needs a device that acknowledged the change, or a
later one of the notification. It says no less, for the last session of a device if there was no
trouble in it: each acknowledgment there is in the ledger, with at least as many attempts as were
seen. And a device's cursor passes no change that the device has not acknowledged, unless it was
rightly spared it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from simulation.checks.check import Check, ack_in
from simulation.checks.known.replays import Replays
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory, sequence_of

_WRITTEN: Final = 3.0
"""Seconds in which a message that has reached a healthy node is in the store."""
_LINES: Final = """
    SELECT d.user_id, d.device_id, d.notification_id, d.attempts, d.acknowledged_sequence,
        i.expired_at IS NOT NULL OR i.state = 'withdrawn', n.expires_at IS NOT NULL, i.sequence,
        d.dead_reason IS NOT NULL
    FROM deliveries AS d
    JOIN notifications AS n ON n.id = d.notification_id
    JOIN inbox AS i ON i.notification_id = d.notification_id AND i.user_id = d.user_id
"""
_SKIPPED: Final = """
    SELECT i.notification_id, i.sequence
    FROM inbox AS i
    JOIN notifications AS n ON n.id = i.notification_id
    LEFT JOIN deliveries AS d ON d.notification_id = i.notification_id
        AND d.user_id = i.user_id AND d.device_id = ?
    WHERE i.user_id = ? AND i.sequence > ? AND i.sequence <= ? AND i.state <> 'withdrawn'
        AND i.expired_at IS NULL AND n.expires_at IS NULL AND d.dead_reason IS NULL
"""
_KEPT: Final = "SELECT 1 FROM inbox WHERE notification_id = ? AND user_id = ?"
"""The ledger lines of a purged notification are gone too."""
_MUTE: Final = """
    SELECT d.notification_id, d.user_id, d.device_id
    FROM deliveries AS d
    JOIN notifications AS n ON n.id = d.notification_id
    JOIN inbox AS i ON i.notification_id = d.notification_id AND i.user_id = d.user_id
        AND i.state <> 'withdrawn'
    LEFT JOIN dead_letters AS l ON l.notification_id = d.notification_id
        AND l.user_id = d.user_id AND l.device_id = d.device_id
    WHERE d.dead_reason = '' OR (d.dead_reason IS NOT NULL AND n.topic IS NULL
        AND (l.id IS NULL OR l.reason = ''))
"""


@dataclass(slots=True)
class _Device:
    """The pushes and acknowledgments of one device; sequences are by notification."""

    began_at: float | None = None
    start: int | None = None
    heard: dict[str, int] = field(default_factory=dict)
    """The greatest sequence pushed, in any session."""
    through: int = 0
    """The greatest sequence up to which the device acknowledged everything."""
    said: dict[str, int] = field(default_factory=dict)
    """The greatest sequence that the device may have acknowledged."""
    unsaid: dict[str, int] = field(default_factory=dict)
    """The sequences in `heard` that are not in `said`."""
    last: SessionStory | None = None
    attempts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """In its last session: sequence and attempt of the last push."""
    answered: dict[str, tuple[int, float]] = field(default_factory=dict)
    """In its last session: the sequence surely acknowledged, and when."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """In its last session: the sequence of the last push, if it is not acknowledged."""

    def hear(self, notification: str, sequence: int) -> None:
        """The device was pushed *sequence* of *notification*."""
        if sequence > self.heard.get(notification, 0):
            self.heard[notification] = self.unsaid[notification] = sequence

    def say(self, sequence: int) -> None:
        """The device may have acknowledged everything up to *sequence*."""
        self.through = max(self.through, sequence)
        for notification, heard in list(self.unsaid.items()):
            if heard <= sequence:
                self.say_of(notification)

    def say_of(self, notification: str) -> None:
        """The device may have acknowledged all it has heard of *notification*."""
        if notification in self.unsaid:
            self.said[notification] = self.unsaid.pop(notification)


class Ledger(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._devices: dict[tuple[str, str], _Device] = {}
        self._replays = Replays()

    def asked(self, request: RequestStory) -> None:
        self._replays.asked(request)

    def opened(self, session: SessionStory) -> None:
        device = self._devices.setdefault((session.user, session.device), _Device())
        device.last = session
        device.attempts.clear()
        device.answered.clear()
        device.unanswered.clear()
        if session.hello is not None:
            device.say(sequence_of(session.hello))
        elif self.may_be_unknown(session):
            # The store then takes it for a new device, and lets it begin where new devices do.
            device.start = None

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        device = self._devices[session.user, session.device]
        match frame["type"]:
            case "welcome":
                start = sequence_of(frame["cursor"])
                device.start = start if device.start is None else min(device.start, start)
            case "reset":
                device.start = 0
            case "push":
                self._pushed(device, session, frame)
            case "changes":
                if device.start is None:
                    device.start = self._start_of(frame)
                for push in frame["changes"]:
                    self._pushed(device, session, push)
            case _:
                pass

    def acknowledged(self, session: SessionStory, ack: Frame) -> None:
        device = self._devices[session.user, session.device]
        if ack["type"] == "nack":
            return
        if ack.get("ids") is None:
            device.say(ack["sequence"])
        else:
            for notification in ack["ids"]:
                device.say_of(notification)

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        # An acknowledgment over HTTP may be refused; `answered` counts it when it is not.
        if session.transport != "stream-explicit":
            self._acknowledged(session, ack)

    def answered(self, request: RequestStory) -> None:
        self._replays.answered(request)
        user, _, name = request.who.partition("/")
        device, ack = self._devices.get((user, name)), ack_in(request)
        if device is not None and device.last is not None and ack is not None:
            self._acknowledged(device.last, ack)

    def settled(self) -> str | None:
        for name, host in self.cluster.hosts.items():
            node = host.node
            if node is not None and node.services and node.ledger.waiting.transactions:
                return f"{name} has lines of the ledger to write"
        return None

    def finish(self) -> None:
        lines: dict[tuple[str, str, str], tuple[int, int]] = {}
        # A node whose clock is ahead leaves out notifications that the other nodes would still
        # push.
        clocks_differ = any(
            self.history.troubles.touch_by(0.0, self.now, host, "clock")
            for host in self.cluster.hosts
        )
        rows = self.cluster.store.rows(_LINES)
        for user, name, id_, attempts, acknowledged, is_over, expires, last, is_dead in rows:
            is_over = is_over or (expires and clocks_differ)
            # A device may acknowledge after the server gave up. That changes nothing and is not
            # missed.
            lines[user, name, id_] = last if is_dead else acknowledged, attempts
            device = self._devices.get((user, name), _Device())
            # The cursor also passes changes that were left out because they had ended; and a change
            # that was pushed but not read, if it had been replaced when the device came back.
            is_past = acknowledged < last and acknowledged <= device.through
            # A session before the store forgot the device may write a line of a change behind which
            # the device began anew.
            is_past = is_past or acknowledged <= (device.start or 0)
            is_past = is_past or self._is_spared(device, user, id_)
            if not (is_over or is_past) and device.said.get(id_, 0) < acknowledged:
                said = device.said.get(id_)
                text = f"{id_} is acknowledged up to {acknowledged}; the device said {said}"
                self.violated("P2", f"{user}/{name}", text)
        for (user, name), device in self._devices.items():
            self._judge_last(user, name, device, lines)
        self._judge_cursors()
        # A letter is purged by the time of its death, which may be before its notification is
        # purged.
        for id_, user, name in (
            () if self.cluster.plan.retention else self.cluster.store.rows(_MUTE)
        ):
            self.violated("P1", f"{user}/{name}", f"{id_} is dead, without a reason")

    # --- Inside ----------------------------------------------------------------------------------

    def _acknowledged(self, session: SessionStory, ack: Frame) -> None:
        device = self._devices[session.user, session.device]
        if device.last is not session or ack["type"] == "nack" or ack.get("ids") is not None:
            return
        done = [each for each in device.unanswered.items() if each[1] <= ack["sequence"]]
        for notification, sequence in done:
            device.answered[notification] = sequence, self.now
            del device.unanswered[notification]

    def _pushed(self, device: _Device, session: SessionStory, push: Frame) -> None:
        id_, sequence = push["notification"]["id"], push["sequence"]
        device.hear(id_, sequence)
        # An expiring notification is dropped while in flight, whether it is acknowledged or not.
        if device.last is session and push["notification"]["expires_at"] is None:
            device.attempts[id_] = sequence, push["attempt"]
            if device.answered.get(id_, (0, 0.0))[0] < sequence:
                device.unanswered[id_] = sequence

    def _is_spared(self, device: _Device, user: str, id_: str) -> bool:
        """Whether *device* need not be sent a change, because it is a replay for another device."""
        # A device that was given up on is done with the notification too, so having heard it is
        # enough.
        was_done = id_ in device.said or id_ in device.heard
        return was_done and any(True for _ in self._replays.of(user, id_))

    def _start_of(self, answer: Frame) -> int:
        for push in answer["changes"]:
            previous: int = push["previous"]
            return previous
        return sequence_of(answer["cursor"])

    def _judge_last(
        self,
        user: str,
        name: str,
        device: _Device,
        lines: dict[tuple[str, str, str], tuple[int, int]],
    ) -> None:
        story = device.last
        if story is None or self.history.troubles.touch(story.began_at, self.now):
            return
        for id_, (sequence, at) in device.answered.items():
            acknowledged, attempts = lines.get((user, name, id_), (0, 0))
            is_kept = self.cluster.store.rows(_KEPT, id_, user) and not self.may_be_forgotten(at)
            if not (acknowledged or is_kept):
                continue
            if at + _WRITTEN < self.now and acknowledged < sequence:
                text = f"{sequence} was acknowledged at {at:.3f}, the ledger says {acknowledged}"
                self.violated("P2", f"{user}/{name}", f"{id_}: {text}")
            seen = device.attempts[id_]
            if seen[0] == sequence == acknowledged and attempts < seen[1]:
                text = f"{seen[1]} attempts were seen, the ledger says {attempts}"
                self.violated("P2", f"{user}/{name}", f"{id_}: {text}")

    def _judge_cursors(self) -> None:
        for user, name, cursor, removed in self.cluster.store.rows(
            "SELECT user_id, device_id, acknowledged, removed FROM devices"
        ):
            device = self._devices.get((user, name))
            if device is None or device.start is None or removed:
                continue
            rows = self.cluster.store.rows(_SKIPPED, name, user, device.start, cursor)
            for id_, sequence in rows:
                if device.said.get(id_, 0) < sequence and not self._is_spared(device, user, id_):
                    said = device.said.get(id_)
                    text = f"stands at {cursor}; of {id_}, {sequence} in the log, it said {said}"
                    self.violated("P2", f"{user}/{name}", text)
