"""P2: a change that a device has acknowledged is not sent to it again by a later session.

An acknowledgment counts once it has been at its node for some seconds without trouble of the node
or the store. A device may need old changes again if it goes back: with an older cursor, with `"0"`,
after a reset, or after its removal. So what this check compares are sessions without a cursor: they
start where the acknowledgments end. A request with an older cursor that reached a stopped process
is carried out when the process goes on, however long its client has been elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from simulation.checks.check import Check, Complaint, ack_in
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory, sequence_of

_WRITTEN: Final = 3.0
"""Seconds in which an acknowledgment that has reached a healthy node is in the store."""
_REGAINED: Final = 18.0
"""Seconds until a node uses a store again that was hanging: a call's time-out, and a pause."""


@dataclass(slots=True)
class _Memory:
    """The changes that a device has surely acknowledged: by sequence, when and where."""

    acknowledged: dict[int, tuple[float, SessionStory]] = field(default_factory=dict)
    waiting: dict[SessionStory, dict[int, str]] = field(default_factory=dict)
    named: dict[SessionStory, float] = field(default_factory=dict)
    """The sessions that named a cursor, and when each was over."""
    """By session: the changes heard and not acknowledged, sequence to id."""
    has_gone_back: bool = False
    """Whether the device went back. From then on, acknowledgments by ids that leave gaps do not
    survive the session (docs/protocol.md), whether it had acknowledged anything before or not."""

    def start(self, beyond: int) -> None:
        """The device starts behind *beyond*; its older sessions acknowledge nothing any more."""
        self.has_gone_back |= any(sequence > beyond for sequence in self.acknowledged)
        self.acknowledged = {
            sequence: at for sequence, at in self.acknowledged.items() if sequence <= beyond
        }
        self.waiting.clear()

    def go_back(self) -> None:
        """The device starts at the beginning, with nothing that it had."""
        self.start(-1)
        self.has_gone_back = True


class Durable(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._memories: dict[tuple[str, str], _Memory] = {}

    def opened(self, session: SessionStory) -> None:
        memory = self._memories.setdefault((session.user, session.device), _Memory())
        if session.hello == "0":
            memory.go_back()
        elif session.hello is not None:
            memory.start(sequence_of(session.hello))
        memory.waiting[session] = {}
        if session.hello is not None:
            memory.named[session] = math.inf

    def ended(self, session: SessionStory) -> None:
        named = self._memories[session.user, session.device].named
        if session in named:
            named[session] = self.now
        # Its acknowledgments may still be on their way.
        self.cluster.timeline.after(_WRITTEN, self._forget, session)

    def asked(self, request: RequestStory) -> None:
        if request.operation == "remove_device":
            user = request.who.partition("/")[0]
            memory = self._memories.get((user, request.path["device"]))
            if memory is not None:
                memory.go_back()

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        match frame["type"]:
            case "push":
                self._pushed(session, frame, sent_at)
            case "reset":
                memory = self._memories[session.user, session.device]
                memory.go_back()
                memory.waiting[session] = {}
            case _:
                pass

    def ack_arrived(self, session: SessionStory, ack: Frame) -> None:
        # An acknowledgment over HTTP may be refused; `answered` counts it when it is not.
        if session.transport != "stream-explicit":
            self._acknowledged(session, ack)

    def answered(self, request: RequestStory) -> None:
        user, _, device = request.who.partition("/")
        memory, ack = self._memories.get((user, device)), ack_in(request)
        if memory is not None and ack is not None:
            for session in list(memory.waiting):
                self._acknowledged(session, ack)

    # --- Inside ----------------------------------------------------------------------------------

    def _acknowledged(self, session: SessionStory, ack: Frame) -> None:
        memory = self._memories[session.user, session.device]
        heard = memory.waiting.get(session)
        if heard is None or ack["type"] == "nack":
            return
        if ack.get("ids") is not None and memory.has_gone_back:
            return
        if ack.get("ids") is None:
            done = [sequence for sequence in heard if sequence <= ack["sequence"]]
        else:
            # An id acknowledges one of the notification's changes; if several are open, which one
            # is unknown.
            done = [
                sequence
                for sequence, notification in heard.items()
                if notification in ack["ids"]
                and sum(each == notification for each in heard.values()) == 1
            ]
        for sequence in done:
            del heard[sequence]
            memory.acknowledged[sequence] = self.now, session

    def _pushed(self, session: SessionStory, push: Frame, sent_at: float) -> None:
        memory = self._memories[session.user, session.device]
        if session.hello is None:
            self._compare(session, push["sequence"], memory)
        if session in memory.waiting:
            memory.waiting[session][push["sequence"]] = push["notification"]["id"]

    def _compare(self, session: SessionStory, sequence: int, memory: _Memory) -> None:
        at, where = memory.acknowledged.get(sequence, (session.began_at, session))
        if at + _WRITTEN >= session.began_at or self.may_be_forgotten(at):
            return
        troubles = self.history.troubles
        if troubles.touch(at - 1.0, at + _WRITTEN, *self.answerable(where)) or any(
            troubles.touch_by(at - _REGAINED, at, who, "store_away")
            for who in (where.host, "store")
        ):
            return
        if any(
            sequence_of(named.hello or "0") < sequence
            and troubles.touch_by(named.began_at, over_at, named.host, "stopped")
            for named, over_at in memory.named.items()
        ):
            return
        text = f"{sequence} came, which was acknowledged at {where.host} at {at:.3f}"
        self.complain(session, Complaint("P2", text))

    def _forget(self, session: SessionStory) -> None:
        self._memories[session.user, session.device].waiting.pop(session, None)
