"""The schedule of a run: its faults and their times, drawn from the seed before the run begins.

A `Fault` is a value. Any subset of a schedule is a schedule too: that is how a failure is shrunk,
and a found one is written down as a case. `harm` does the faults.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec

from simulation.world.chance import Chance
from simulation.world.plan import Plan

FIRST: Final = 3.0
"""Seconds until the first fault, by when all devices have come."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """*kind* happens to *target* at *at* and lasts some seconds; the rest depends on the kind."""

    at: float
    kind: str
    target: str = ""
    """The name of a node; empty for all nodes."""
    lasts: float = 0.0
    nth: int = 0
    """The number of steps, calls or messages until it happens; 0 for at once."""
    amount: float = 0.0
    how: str = ""

    def __str__(self) -> str:
        named = {"target": self.target, "lasts": self.lasts, "nth": self.nth}
        named |= {"amount": self.amount, "how": self.how}
        told = "".join(f" {name}={value}" for name, value in named.items() if value)
        return f"{self.at:8.2f} {self.kind}{told}"


Schedule = tuple[Fault, ...]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of each kind of fault: how often it happens per minute, on average."""

    killed: float = 0.5
    stopped: float = 0.4
    restarted: float = 0.3
    rolled: float = 0.05
    store_away: float = 0.4
    store_fails: float = 0.5
    store_slow: float = 0.2
    commit_lost: float = 0.5
    disk_full: float = 0.15
    bus_away: float = 0.4
    bus_noisy: float = 0.3
    bus_silent: float = 0.2
    bus_wiped: float = 0.1
    deaf: float = 0.3
    dark: float = 0.1
    """Store and bus are away at the same time."""
    cut: float = 0.6
    stalled: float = 0.4
    clock: float = 0.2
    crash: float = 0.5
    queue_away: float = 0.5
    queue_cut: float = 0.8
    queue_restarted: float = 0.5
    """The broker starts again, and may have forgotten the last acknowledgments."""
    carrying: float = 1.5
    """A node dies, or loses the store, while it carries a parcel to a person."""

    def without(self, *kinds: str) -> Faults:
        """The same rates, but 0 for *kinds*."""
        return msgspec.structs.replace(self, **dict.fromkeys(kinds, 0.0))


CALM: Final = Faults().without(*Faults.__struct_fields__)

_ALONE_NEVER: Final = (
    *("bus_away", "bus_noisy", "bus_silent", "bus_wiped", "deaf", "dark", "rolled"),
)
"""Kinds that need a second node."""

CRASHING: Final = (
    *("UserActor", "UserActor", "NotificationActor", "NotificationActor"),
    *("StorageActor", "StorageWork", "Scheduler", "Topics", "ClusterBridge", "ClusterWork"),
    *("PresenceActor", "Spooler", "SpoolDrain", "CredentialWatch", "Drainer", "Connection"),
    *("Sinks", "Connector"),
)
"""The victims of crashes (see `crashes`); a kind with many actors is listed more often."""
CRASHING_CHANNELS: Final = "Escalator", "Channel", "Channel"
"""Further victims where there are channels."""
_SELDOM: Final = (
    *("Scheduler", "ClusterWork", "Spooler", "SpoolDrain", "CredentialWatch", "Drainer", "Sinks"),
    *("Connector", "Escalator", "Channel"),
)
_SELDOM_NTH: Final = 3
"""The latest message at which an actor that gets few of them crashes."""


def draw(seed: int, faults: Faults, plan: Plan) -> Schedule:
    """The schedule of *seed*. Each kind has a random generator of its own."""
    if plan.nodes == 1:
        faults = faults.without(*_ALONE_NEVER)
    found: list[Fault] = []
    for kind in faults.__struct_fields__:
        rate = getattr(faults, kind)
        chance = Chance(seed, "fault", kind)
        at = FIRST
        while rate and (at := round(at + chance.wait(60.0 / rate), 3)) < plan.duration:
            found += _DRAW[kind](chance, at, plan)
    return tuple(sorted((_bounded(each, plan) for each in found), key=lambda each: each.at))


def _bounded(fault: Fault, plan: Plan) -> Fault:
    """Shorten *fault*, so that it is over when the work is."""
    lasts = min(fault.lasts, plan.duration - fault.at)
    return msgspec.structs.replace(fault, lasts=round(lasts, 3))


# --- The kinds: what is drawn for each ------------------------------------------------------------

_Drawn = list[Fault]


def _spread(chance: Chance, least: float, most: float) -> float:
    """A number between *least* and *most*, spread evenly over the orders of magnitude."""
    return round(math.exp(chance.uniform(math.log(least), math.log(most))), 3)


def _somebody(chance: Chance, plan: Plan) -> str:
    return chance.one(plan.node_names)


def _anybody(chance: Chance, plan: Plan) -> str:
    """A node, or all of them."""
    return chance.one(("", _somebody(chance, plan)))


def _killed(chance: Chance, at: float, plan: Plan) -> _Drawn:
    nth = int(_spread(chance, 1, 3000)) if chance.happens(0.5) else 0
    how = chance.one(("noticed", "noticed", "silent"))
    target, lasts = _somebody(chance, plan), _spread(chance, 0.3, 20.0)
    return [Fault(at=at, kind="killed", target=target, lasts=lasts, nth=nth, how=how)]


def _stopped(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, lasts = _somebody(chance, plan), _spread(chance, 0.3, 60.0)
    return [Fault(at=at, kind="stopped", target=target, lasts=lasts)]


def _restarted(chance: Chance, at: float, plan: Plan) -> _Drawn:
    return [Fault(at=at, kind="restarted", target=_somebody(chance, plan), lasts=30.0)]


def _rolled(chance: Chance, at: float, plan: Plan) -> _Drawn:
    apart = 30.0
    return [
        Fault(at=at + apart * place, kind="restarted", target=name, lasts=apart)
        for place, name in enumerate(plan.node_names)
        if at + apart * place < plan.duration
    ]


def _store_away(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, lasts = _anybody(chance, plan), _spread(chance, 0.1, 90.0)
    how = chance.one(("refuses", "hangs"))
    return [Fault(at=at, kind="store_away", target=target, lasts=lasts, how=how)]


def _counted(kind: str) -> Callable[[Chance, float, Plan], _Drawn]:
    def drawn(chance: Chance, at: float, plan: Plan) -> _Drawn:
        target, nth = _somebody(chance, plan), int(_spread(chance, 1, 60))
        return [Fault(at=at, kind=kind, target=target, lasts=20.0, nth=nth)]

    return drawn


def _store_slow(chance: Chance, at: float, plan: Plan) -> _Drawn:
    amount, lasts = _spread(chance, 0.01, 3.0), _spread(chance, 1.0, 20.0)
    return [Fault(at=at, kind="store_slow", lasts=lasts, amount=amount)]


def _disk_full(chance: Chance, at: float, plan: Plan) -> _Drawn:
    return [Fault(at=at, kind="disk_full", lasts=_spread(chance, 0.5, 30.0))]


def _bus_away(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, lasts = _anybody(chance, plan), _spread(chance, 0.1, 90.0)
    how = chance.one(("refuses", "hangs"))
    return [Fault(at=at, kind="bus_away", target=target, lasts=lasts, how=how)]


def _bus_noisy(chance: Chance, at: float, plan: Plan) -> _Drawn:
    how, lasts = chance.one(("lost", "doubled", "delayed")), _spread(chance, 1.0, 30.0)
    amount = _spread(chance, 0.02, 5.0 if how == "delayed" else 0.9)
    return [Fault(at=at, kind="bus_noisy", lasts=lasts, amount=amount, how=how)]


def _bus_silent(chance: Chance, at: float, plan: Plan) -> _Drawn:
    lasts, amount = _spread(chance, 5.0, 60.0), _spread(chance, 0.1, 1.0)
    return [Fault(at=at, kind="bus_silent", lasts=lasts, amount=amount)]


def _bus_wiped(chance: Chance, at: float, plan: Plan) -> _Drawn:
    return [Fault(at=at, kind="bus_wiped")]


def _deaf(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, lasts = _somebody(chance, plan), _spread(chance, 0.5, 60.0)
    return [Fault(at=at, kind="deaf", target=target, lasts=lasts)]


def _dark(chance: Chance, at: float, plan: Plan) -> _Drawn:
    store, bus = (_spread(chance, 0.5, 30.0) for _ in range(2))
    how = chance.one(("refuses", "hangs"))
    return [
        Fault(at=at, kind="store_away", lasts=store, how=how),
        Fault(at=at, kind="bus_away", lasts=bus, how=how),
    ]


def _cut(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, amount = _somebody(chance, plan), _spread(chance, 0.1, 1.0)
    how = chance.one(("both", "client", "node", "neither"))
    # While its clients do not notice the cut, all that they send is lost.
    lasts = _spread(chance, 5.0, 90.0) if how in ("node", "neither") else 0.0
    return [Fault(at=at, kind="cut", target=target, lasts=lasts, amount=amount, how=how)]


def _stalled(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, amount = _somebody(chance, plan), _spread(chance, 0.1, 1.0)
    lasts = _spread(chance, 0.3, 60.0)
    return [Fault(at=at, kind="stalled", target=target, lasts=lasts, amount=amount)]


def _clock(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, lasts = _somebody(chance, plan), _spread(chance, 2.0, 60.0)
    amount = chance.one((-1, 1)) * _spread(chance, 0.5, 300.0)
    return [Fault(at=at, kind="clock", target=target, lasts=lasts, amount=amount)]


def _crash(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, nth = _somebody(chance, plan), int(_spread(chance, 1, 50))
    how = chance.one((*CRASHING, *CRASHING_CHANNELS) if plan.escalations else CRASHING)
    if how in _SELDOM:
        nth = 1 + nth % _SELDOM_NTH
    return [Fault(at=at, kind="crash", target=target, lasts=20.0, nth=nth, how=how)]


def _queue_away(chance: Chance, at: float, plan: Plan) -> _Drawn:
    how, lasts = chance.one(("refuses", "hangs")), _spread(chance, 0.1, 40.0)
    return [Fault(at=at, kind="queue_away", lasts=lasts, how=how)] if plan.queue else []


def _queue_cut(chance: Chance, at: float, plan: Plan) -> _Drawn:
    return [Fault(at=at, kind="queue_cut", target=_anybody(chance, plan))] if plan.queue else []


def _queue_restarted(chance: Chance, at: float, plan: Plan) -> _Drawn:
    forgets = _spread(chance, 0.1, 20.0)
    return [Fault(at=at, kind="queue_restarted", amount=forgets)] if plan.queue else []


def _carrying(chance: Chance, at: float, plan: Plan) -> _Drawn:
    target, lasts = _somebody(chance, plan), _spread(chance, 2.0, 30.0)
    how = chance.one(("dies before", "dies after", "dies after", "loses the store"))
    found = Fault(at=at, kind="carrying", target=target, lasts=lasts, how=how)
    return [found] if plan.escalations else []


_DRAW: Final[dict[str, Callable[[Chance, float, Plan], _Drawn]]] = {
    "killed": _killed,
    "stopped": _stopped,
    "restarted": _restarted,
    "rolled": _rolled,
    "store_away": _store_away,
    "store_fails": _counted("store_fails"),
    "store_slow": _store_slow,
    "commit_lost": _counted("commit_lost"),
    "disk_full": _disk_full,
    "bus_away": _bus_away,
    "bus_noisy": _bus_noisy,
    "bus_silent": _bus_silent,
    "bus_wiped": _bus_wiped,
    "deaf": _deaf,
    "dark": _dark,
    "cut": _cut,
    "stalled": _stalled,
    "clock": _clock,
    "crash": _crash,
    "queue_away": _queue_away,
    "queue_cut": _queue_cut,
    "queue_restarted": _queue_restarted,
    "carrying": _carrying,
}
