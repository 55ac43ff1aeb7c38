"""How a device behaves: most are good, some are bad, and no two are the same.

What a device does is drawn from its own chance, by these. A good one is still a real one: it goes
away and comes back, on another node, over another transport.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from simulation.world.chance import Chance
from simulation.world.plan import Plan


class Reaction(Enum):
    """What a device does with a push: one that is forgotten comes again."""

    TAKE = auto()
    FORGET = auto()
    REFUSE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Delays and stays are in seconds, on average; *incidents* how many there are a second.

    All else are probabilities: of each push, to be forgotten until it is sent again, or refused; of
    each session, to start without a cursor although there is one, or to acknowledge nothing.
    """

    ack_delay: float
    acks_ids: bool
    """Whether it acknowledges by ids, else everything up to a sequence."""
    stay: float
    absence: float
    streams: float
    explicit: float
    """Of its streams, those that acknowledge by themselves."""
    polls: float
    window: int | None = None
    """Pushes that it takes unacknowledged, over a WebSocket; else what the server chooses."""
    forgets: float = 0.0
    refuses: float = 0.0
    chokes: bool = False
    """Whether there are notifications that it refuses whenever they come."""
    cursorless: float = 0.0
    silent: float = 0.0
    incidents: float = 0.0


_STAYS: Final = 60.0, 300.0, 900.0
_BAD_STAYS: Final = 5.0, 30.0, 300.0
_ABSENCES: Final = 5.0, 30.0, 180.0
_WINDOWS: Final = None, None, 1, 5
_ACK_DELAYS: Final = 0.02, 0.05, 0.5
_BAD_ACK_DELAYS: Final = 0.05, 2.0, 15.0


def traits_of(chance: Chance, plan: Plan) -> Traits:
    """Those of the device whose *chance* it is."""
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
        # By sequence, what it chokes on would keep all that comes behind it unacknowledged.
        acks_ids=traits.acks_ids or chokes,
        stay=chance.one(_BAD_STAYS),
        forgets=chance.one((0.0, 0.02, 0.1)),
        refuses=chance.one((0.0, 0.02, 0.1)),
        chokes=chokes,
        silent=chance.one((0.0, 0.2)),
        incidents=1 / 60,
    )


def calmed(traits: Traits) -> Traits:
    """The same device from when it has to behave."""
    return replace(
        traits,
        ack_delay=min(traits.ack_delay, 0.05),
        forgets=0.0,
        refuses=0.0,
        chokes=False,
        silent=0.0,
        incidents=0.0,
    )
