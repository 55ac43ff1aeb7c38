"""The seals of envelopes: how a node is known to the others, and which of theirs it heeds.

Without the nodes' secret a node can neither be believed nor speak. The secret is in the store, so a
node says no envelope before it has reached the store for the first time. Envelopes that are not
heeded are counted and logged.

A node of another release, or with another secret, sounds like any outsider. If such a *stranger*
speaks on the channel of all nodes, the node remembers when: the stranger may be committing changes
that go unheard here.
"""

from __future__ import annotations

import math
from typing import Final

import structlog
import trio

from tocsin.actors.cluster.complaints import Complaints
from tocsin.actors.world import World
from tocsin.persistence.bus import DISCONNECTED_LIFETIME, BusRefusals, Said
from tocsin.protocol.cluster.envelopes import (
    AGE_MAX,
    CONTROL,
    INCARNATION_BYTES,
    Alive,
    Distrust,
    Ear,
    Envelope,
    Untrusted,
    Voice,
)
from tocsin.protocol.cluster.seals import SEAL_BYTES, Purpose, Seals

logger = structlog.get_logger(__name__)

MARK_AGE_MAX: Final = DISCONNECTED_LIFETIME + AGE_MAX
"""Seconds after which a mark means nothing, by the clock of the node that reads it."""
_TIME_BYTES: Final = 8
"""Bytes of a time in a mark: Unix milliseconds as a 64-bit number."""
_ENVELOPE: Final = "envelope"
_MARK: Final = "disconnection"
"""Kinds of values found in Redis, in metrics and the log."""


class Trust:
    """The seals of the node called *node*; see the module."""

    def __init__(self, node: str, world: World, seals: Seals, refusals: BusRefusals) -> None:
        seal = seals[Purpose.BUS]
        self._now_ms = world.now_ms
        began_ms = world.now_ms()
        self._voice = Voice(node, seal, world.entropy(INCARNATION_BYTES), began_ms)
        self._ear = Ear(node, seal, began_ms)
        self._seals = seals
        self._marks = seals[Purpose.DISCONNECTED]
        self._refusals = refusals
        complaints = Complaints(logger, "a value in Redis is not trusted")
        refusals.told = lambda what, why, count: complaints.tell(what, why, count=count)
        self.write = self._voice.write
        self.is_own = self._voice.is_own
        self.stranger_at = -math.inf
        """When a stranger was heard last (Trio time)."""

    @property
    def is_able(self) -> bool:
        """Whether the secret is known, so that envelopes can be said and heeded."""
        return self._seals.known

    def sealed(self, written: Said) -> Said:
        """The envelope *written*, sealed with the present time.

        Each attempt to say it needs a new seal, because old envelopes are not heeded. Sealed
        envelopes have to be said in the order in which they were sealed.
        """
        said = self._voice.say(written.channel, written.payload, self._now_ms())
        return Said(written.channel, said)

    def sealed_sign(self, sign: Alive) -> Said:
        """A *sign* of life, sealed with the present time, outside the order of other envelopes."""
        return Said(CONTROL, self._voice.live(sign, self._now_ms()))

    def heed(self, heard: Said) -> tuple[str, Envelope] | None:
        """The speaker and the envelope in *heard*, if it is to be heeded; otherwise `None`.

        Raises `Unreadable` if the envelope is of this cluster and of no kind known here.
        """
        try:
            return self._ear.hear(heard.channel, heard.payload, self._now_ms())
        except Untrusted as error:
            if heard.channel == CONTROL and error.why is not Distrust.REPEATED:
                self.stranger_at = trio.current_time()
            self._refusals.add(_ENVELOPE, error.why)
            return None

    # --- Marks of users who were disconnected (`disconnections`) ----------------------------------

    def mark(self, user: str) -> bytes:
        """A mark of *user* with the present time: the time, a seal and the user."""
        time, name = self._now_ms().to_bytes(_TIME_BYTES), user.encode()
        return time + self._marks.of(time, name) + name

    def marked(self, mark: bytes) -> str | None:
        """The user of *mark*, if a node of this cluster has made it, not too long ago."""
        time, seal = mark[:_TIME_BYTES], mark[_TIME_BYTES:][:SEAL_BYTES]
        name = mark[_TIME_BYTES + SEAL_BYTES :]
        if not self._marks.fits(seal, time, name):
            self._refusals.add(_MARK, Distrust.FORGED)
        elif self._now_ms() - int.from_bytes(time) > MARK_AGE_MAX * 1000:
            self._refusals.add(_MARK, Distrust.STALE)
        else:
            return name.decode()
        return None
