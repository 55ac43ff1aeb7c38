"""The surroundings of everything in a run: its plan, time, chance, trace and history.

Hosts, clients, faults and checks share one `Surroundings`. It knows none of them, so that each can
be made without the others.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

import jwt
import trio

from simulation.world.chance import Chance
from simulation.world.history import History, Violation
from simulation.world.plan import NODES, Plan
from simulation.world.timeline import Timeline
from simulation.world.trace import Trace
from tocsin.protocol.values import from_datetime
from tocsin.settings import Settings

_EPOCH_MS: Final = 1_767_225_600_000
"""The wall clock at the start of a run: 1 January 2026, 00:00 UTC, as Unix milliseconds."""
_SECRET: Final = "a secret of the simulation that nobody else has"
_TOKEN_LIFETIME: Final = 30 * 86_400
"""Seconds: longer than any run, so that no token expires in one."""


class Surroundings:
    """See the module. *nursery* runs the nodes' tasks."""

    def __init__(self, plan: Plan, timeline: Timeline, trace: Trace, nursery: trio.Nursery) -> None:
        self.plan = plan
        self.timeline = timeline
        self.trace = trace
        self.nursery = nursery
        self.history = History(lambda: timeline.now)

    def chance(self, *whom: object) -> Chance:
        """A random generator for *whom*, which draws the same in each run of this seed."""
        return Chance(self.plan.seed, *whom)

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        self.trace.note(self.timeline.now, who, what)

    def violated(self, promise: str, subject: str, what: str) -> None:
        """Record that *promise* was broken now; the run ends."""
        violation = Violation(self.timeline.now, promise, subject, what)
        self.note(subject, f"violates {promise}")
        self.history.violated(violation)

    def now_ms(self) -> int:
        """The right time of day, in Unix milliseconds; a node's clock may differ from it."""
        return _EPOCH_MS + int(self.timeline.now * 1000)

    def moment_of(self, text: str) -> float:
        """The time of day *text* (RFC 3339) on the timeline, in seconds."""
        return (from_datetime(datetime.fromisoformat(text)) - _EPOCH_MS) / 1000

    def token(self, subject: str, scope: str = "") -> str:
        """A credential that stays valid for the whole run."""
        claims = {"sub": subject, "scope": scope, "exp": _EPOCH_MS // 1000 + _TOKEN_LIFETIME}
        return jwt.encode(claims, _SECRET, algorithm="HS256")


@lru_cache(maxsize=2 * len(NODES))
def settings_of(node: str, plan: Plan) -> Settings:
    """The settings that *node* has in a run of *plan*."""
    alone = plan.nodes == 1
    kept = {
        name: getattr(plan, name)
        for name in ("retention", "retention_archived", "retention_expired")
        if getattr(plan, name)
    }
    return Settings(
        node=node,
        jwt_secret=_SECRET,
        database=None if alone else "postgres://simulated/tocsin",
        redis=None if alone else "redis://simulated",
        resend_delay=plan.resend_delay,
        delivery_attempts_max=plan.attempts,
        **kept,
    )
