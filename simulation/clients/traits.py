"""The traits of a device: how it behaves. Most devices are good, some are bad, no two are the same.

A device draws its actions from its own generator, with these probabilities. A good device still
goes away and comes back, on another node and over another transport.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from simulation.world.chance import Chance
from simulation.world.plan import Plan


class Reaction(Enum):
    """The reaction of a device to a push; a forgotten push is sent again."""

    TAKE = auto()
    FORGET = auto()
    REFUSE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Delays and stays are mean seconds, *incidents* are per second, all else are probabilities.

    *forgets* and *refuses* are per push; a forgotten push stays open until it is sent again.
    *cursorless* is per session: the device starts without a cursor although it has one. *silent* is
    per session too: the device acknowledges nothing in it.
    """

    ack_delay: float
    acks_ids: bool
    """Whether the device acknowledges by ids, not by sequence."""
    stay: float
    absence: float
    streams: float
    explicit: float
    """The share of its streams that acknowledge over HTTP."""
    polls: float
    window: int | None = None
    """The window that the device asks for on a WebSocket; `None`: the server chooses."""
    forgets: float = 0.0
    refuses: float = 0.0
    chokes: bool = False
    """Whether some notifications are refused each time they come."""
    cursorless: float = 0.0
    silent: float = 0.0
    incidents: float = 0.0


_STAYS: Final = 60.0, 300.0, 900.0
"""Mean seconds of a visit."""
_BAD_STAYS: Final = 5.0, 30.0, 300.0
"""The same for bad devices."""
_ABSENCES: Final = 5.0, 30.0, 180.0
"""Mean seconds between two visits."""
_WINDOWS: Final = None, None, 1, 5
_ACK_DELAYS: Final = 0.02, 0.05, 0.5
"""Mean seconds from a push to its acknowledgment."""
_BAD_ACK_DELAYS: Final = 0.05, 2.0, 15.0
"""The same for bad devices; the longest exceed the delay of a repetition."""


def traits_of(chance: Chance, plan: Plan) -> Traits:
    """The traits of the device that *chance* belongs to."""
    traits = Traits(
        ack_delay=chance.one(_ACK_DELAYS),
        acks_ids=chance.happens(0.3),
        stay=chance.one(_STAYS),
        absence=chance.one(_ABSENCES),
        streams=plan.streams,
        explicit=0.5,
        polls=plan.polls,
        cursorless=chance.one((0.0, 0.2, 1.0)),
        window=chance.one(_WINDOWS),
    )
    if not chance.happens(plan.bad_devices):
        return traits
    chokes = chance.happens(0.15)
    return replace(
        traits,
        ack_delay=chance.one(_BAD_ACK_DELAYS),
        # An acknowledgment by sequence stops before the first open push, so one refused push would
        # keep all later ones unacknowledged.
        acks_ids=traits.acks_ids or chokes,
        stay=chance.one(_BAD_STAYS),
        forgets=chance.one((0.0, 0.02, 0.1)),
        refuses=chance.one((0.0, 0.02, 0.1)),
        chokes=chokes,
        silent=chance.one((0.0, 0.2)),
        incidents=1 / 60,
    )


def calmed(traits: Traits) -> Traits:
    """The traits of the same device once it has to behave well."""
    return replace(
        traits,
        ack_delay=min(traits.ack_delay, 0.05),
        forgets=0.0,
        refuses=0.0,
        chokes=False,
        silent=0.0,
        incidents=0.0,
    )
