"""A session of a device, over any transport: the pushes it was sent, and those it has processed.

A push is *open* until the device has processed it; the device may refuse it or forget it. The
cursor with which the device comes back stands before the first open push, and so does an
acknowledgment by sequence: both mean "everything up to here". An acknowledgment by ids may leave
out open pushes.

Only the newest welcomed session of a device writes to its screen. A session that was left behind
still acknowledges the pushes it had shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, Protocol

from simulation.clients.requests import Requester
from simulation.clients.screen import Screen
from simulation.clients.traits import Reaction, Traits
from simulation.world.chance import Chance
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, SessionStory, sequence_of
from simulation.world.host import Host

_IDS_MAX: Final = 1024
"""Ids in one acknowledgment: the most that a node accepts."""
_SILENCE_MAX: Final = 80.0
"""Seconds of silence until the device gives up a node, which sends a heartbeat every 25."""
_WELCOME_PATIENCE: Final = 15.0
"""Seconds for which the device waits for `welcome` on a connection that was accepted."""


class Holder(Protocol):
    """The device of a session, as far as the session needs it; see `devices`.

    A protocol, because a device makes its sessions and so imports this module.
    """

    cluster: Cluster
    user: str
    name: str
    who: str
    """User and name, as in the trace."""
    chance: Chance
    network: Chance
    token: str
    requester: Requester
    screen: Screen
    traits: Traits
    is_calm: bool

    def note(self, what: str) -> None:
        """Add a line to the trace."""

    def welcomed(self, session: Session, start: int) -> None:
        """*session* has begun; its pushes follow the sequence *start*."""

    def shows(self, session: Session) -> bool:
        """Whether *session* is the one that writes to the screen."""

    def reaction(self, push: Frame) -> Reaction:
        """How the device reacts to *push*."""

    def ended(self, session: Session, after: float | None, *, reconnect: bool) -> None:
        """*session* has ended.

        *after* and *reconnect* are the server's advice: in how many seconds to come back (`None`:
        it gave no time), and whether to come back by itself at all.
        """


class Session:
    """See the module. Each transport overrides `open`, `close` and `_send_ack`."""

    transport = ""
    acknowledges = True
    """Whether the device acknowledges on its session; otherwise its next cursor acknowledges."""

    def __init__(self, device: Holder, host: Host, number: int, cursor: str | None) -> None:
        self.device = device
        self.host = host
        self.number = number
        self.story = self.new_story(cursor)
        self.is_over = False
        self.is_welcome = False
        self._epoch = ""
        self._open: dict[str, Frame] = {}
        self._last = 0
        self._place: str | None = None
        self._acknowledged = 0
        self._done: dict[str, int] = {}
        self._clearings = device.screen.clearings
        self._says_again = False
        self._is_acking = False
        self._is_silent = device.chance.happens(device.traits.silent)
        self._last_heard = self.device.cluster.timeline.now

    # --- Overridden by transports ----------------------------------------------------------------

    def open(self) -> None:
        """Connect to the host, and ask to begin."""
        raise NotImplementedError

    def close(self) -> None:
        """Break off without a goodbye."""
        raise NotImplementedError

    def stall(self) -> None:
        """Do not read until `read_again`; no effect on a transport without a lasting connection."""

    def read_again(self) -> None:
        """End one `stall`."""

    def _send_ack(self, ack: Frame) -> None:
        raise NotImplementedError

    def _send_nack(self, nack: Frame) -> None:
        """Send a nack; on a transport without nacks the push stays open, as if forgotten."""

    # --- From beginning to end -------------------------------------------------------------------

    def begin(self) -> None:
        """Open the session. From now on it ends through `end`, exactly once."""
        self.device.cluster.history.opened(self.story)
        self._watch()
        self.open()

    def leave(self) -> None:
        """End the session, by the device's wish."""
        self.end()

    def lost(self) -> None:
        """End the session, because its connection has ended."""
        self.end()

    def end(self, after: float | None = None, *, reconnect: bool = True) -> None:
        """End the session. *after* and *reconnect* are the server's advice, see `Holder.ended`."""
        if not self.is_over:
            self.is_over = True
            self._closed()
            self.close()
            self.device.ended(self, after, reconnect=reconnect)

    def new_story(self, hello: str | None) -> SessionStory:
        """The session for the history, beginning now with the cursor *hello*."""
        return SessionStory(
            user=self.device.user,
            device=self.device.name,
            transport=self.transport,
            host=self.host.name,
            process=self.host.process_number,
            began_at=self.device.cluster.timeline.now,
            hello=hello,
        )

    def _closed(self) -> None:
        if self.story.ended_at is None:
            self.story.ended_at = self.device.cluster.timeline.now
            self.device.cluster.history.ended(self.story)

    def alive(self) -> None:
        """Note that something came from the node."""
        self._last_heard = self.device.cluster.timeline.now

    def _watch(self) -> None:
        """Give up a node that has been silent for too long."""
        if self.is_over:
            return
        patience = _SILENCE_MAX if self.is_welcome else _WELCOME_PATIENCE
        left = self._last_heard + patience - self.device.cluster.timeline.now
        if left <= 0.0:
            self.device.note("hears nothing")
            self.end()
        else:
            self.device.cluster.timeline.after(left, self._watch)

    # --- Frames from the node --------------------------------------------------------------------

    def heard(self, frame: Frame, sent_at: float, place: str | None = None) -> None:
        """Process a frame; *place* is the cursor after it, if the transport says so."""
        if self.is_over:
            return
        self.alive()
        self.device.cluster.history.heard(self.story, frame, sent_at)
        match frame["type"]:
            case "push":
                self.pushed(frame, place)
            case "welcome":
                self._welcomed(frame)
            case "synced":
                self.device.note(f"synced {frame['sequence']}")
                self._moved(frame["sequence"], place)
                self.caught_up()
            case "counters":
                self.device.note(f"counters {frame['unread']} {frame['unseen']}")
                if self._shows:
                    self.device.screen.counters = frame["unread"], frame["unseen"]
            case "reset":
                self.reset(frame["reason"])
            case "goodbye":
                self.story.goodbye = frame
                self.device.note(f"goodbye {frame['reason']} {frame['after']}")
                self.end(frame["after"], reconnect=frame["reconnect"])
            case "status":
                self.device.note(f"status bus {frame['bus']} store {frame['store']}")
            case "reply":
                pass  # the socket has handed it to the question
            case unknown:
                raise AssertionError(f"a device is not sent frames of type {unknown}")

    def _welcomed(self, frame: Frame) -> None:
        self.is_welcome = True
        self.story.welcome = frame
        self._epoch = frame["epoch"]
        self.begun(frame["cursor"], sequence_of(frame["cursor"]))
        self.device.note(f"welcome {frame['cursor']} head {frame['head']}")
        if self._shows:
            self.device.screen.counters = frame["unread"], frame["unseen"]

    def begun(self, cursor: str, start: int) -> None:
        """The session's pushes follow the sequence *start*."""
        self._last = self._acknowledged = start
        self._place = cursor
        self.device.welcomed(self, start)
        if self._shows:
            self.device.screen.cursor = cursor

    def caught_up(self) -> None:
        """The replay is complete."""
        for identity in self._open:
            self.device.screen.confirm(identity)
        if self._shows:
            self.device.screen.caught_up()

    def reset(self, reason: str) -> None:
        """Remove everything from the screen; the log is replayed from its start."""
        self.device.note(f"reset {reason}")
        self._open.clear()
        self._last = self._acknowledged = 0
        if self._shows:
            self.device.screen.clear()
            self._clearings = self.device.screen.clearings

    def pushed(self, push: Frame, place: str | None = None) -> None:
        """Process a push."""
        device, sequence, identity = self.device, push["sequence"], push["notification"]["id"]
        device.note(f"push {sequence} {push['change']} {identity[-6:]} {push['attempt']}")
        if self._shows:
            device.screen.counters = push["unread"], push["unseen"]
        open_one = self._open.get(identity)
        is_open = open_one is not None and open_one["sequence"] == sequence
        if sequence > self._last:
            # This push replaces an open one of the same notification, because it says all that the
            # older one did. The notification must also leave `_done`: an acknowledgment of its id,
            # if sent now, would count for this push.
            self._open[identity] = push
            self._done.pop(identity, None)
            self._moved(sequence, place)
        elif not is_open:
            self._says_again = True
            self._note_done(push)
            return
        match device.reaction(push) if self.acknowledges else Reaction.TAKE:
            case Reaction.TAKE:
                self._process(push)
            case Reaction.REFUSE:
                self._nack(identity)
            case Reaction.FORGET:
                pass  # the node sends it again

    def settle(self) -> None:
        """Process all pushes that were refused or forgotten, and acknowledge them."""
        self._is_silent, self._says_again = False, True
        for push in list(self._open.values()):
            self._process(push)
        if self._shows:
            # Acknowledge soon, although a late acknowledgment may be planned already.
            self._is_acking = False
            self._acknowledge_soon()

    def _process(self, push: Frame) -> None:
        if self._shows:
            identity = push["notification"]["id"]
            del self._open[identity]
            self.device.screen.show(push)
            self._note_cursor()
            self._note_done(push)

    # --- Position --------------------------------------------------------------------------------

    @property
    def pauses(self) -> bool:
        """Whether the device is away for a moment, between two polls."""
        return False

    @property
    def _shows(self) -> bool:
        """Whether this session writes to the screen."""
        return self.device.shows(self)

    def _moved(self, sequence: int, place: str | None) -> None:
        self._last = max(self._last, sequence)
        self._place = place or f"{self._epoch}.{sequence}"
        self._note_cursor()

    def _note_cursor(self) -> None:
        if not self._open and self._shows:
            self.device.screen.cursor = self._place

    @property
    def _done_through(self) -> int:
        if not self._open:
            return self._last
        first: int = min(push["sequence"] for push in self._open.values())
        return first - 1

    # --- Acknowledging ---------------------------------------------------------------------------

    def _note_done(self, push: Frame) -> None:
        if self.acknowledges:
            self._done[push["notification"]["id"]] = push["sequence"]
            self._acknowledge_soon()

    def _acknowledge_soon(self) -> None:
        if self._is_acking or self._is_silent or not self.acknowledges:
            return
        self._is_acking = True
        device = self.device
        delay = device.chance.wait(device.traits.ack_delay)
        device.cluster.timeline.after(delay, self._acknowledge)

    def _acknowledge(self) -> None:
        self._is_acking = False
        if self.is_over:
            return
        done, self._done = self._done, {}
        if self.device.traits.acks_ids:
            for start in range(0, len(done), _IDS_MAX):
                part = dict(islice(done.items(), start, start + _IDS_MAX))
                self._tell_ack({"type": "ack", "ids": list(part)}, part)
        elif (sequence := self._done_through) > self._acknowledged or self._says_again:
            self._acknowledged, self._says_again = sequence, False
            self._tell_ack({"type": "ack", "sequence": sequence}, {})

    def _tell_ack(self, ack: Frame, sequences: Mapping[str, int]) -> None:
        screen = self.device.screen
        if screen.clearings == self._clearings:
            # A session that was left behind counts too: the server does not send again what it
            # acknowledges.
            screen.acknowledge(sequences)
            screen.acknowledge_through(ack.get("sequence", 0))
        self.device.cluster.history.acknowledged(self.story, ack)
        self._send_ack(ack)

    def _nack(self, identity: str) -> None:
        nack: Frame = {"type": "nack", "id": identity, "reason": "cannot"}
        if self.device.chance.happens(0.5):
            nack["after"] = round(self.device.chance.wait(2.0), 3)
        self._send_nack(nack)

    def arrived(self, ack: Frame) -> Any:
        """A function to be called when *ack* has reached the node."""
        return lambda: self.device.cluster.history.ack_arrived(self.story, ack)
