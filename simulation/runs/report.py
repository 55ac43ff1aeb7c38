"""Reports for a person: of the figures, and of a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from simulation.runs.figures import Figures
from simulation.runs.simulator import Verdict
from simulation.world.history import Violation
from simulation.world.trace import Line

_LINES: Final = 40
"""The most lines of the trace in a report."""
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{21}([0-9a-f]{6})")


def told_figures(figures: Figures) -> Iterator[str]:
    """The lines that report *figures*."""
    hours = figures.seconds / 3600
    yield f"{hours:.2f} virtual hours, {figures.transactions} transactions"
    yield (
        f"{figures.notifications} notifications accepted ({figures.spooled} spooled), "
        f"{figures.deliveries} deliveries in {figures.sessions} sessions, "
        f"{figures.requests} requests"
    )
    faults = ", ".join(f"{kind} {count}" for kind, count in figures.faults.items())
    yield f"faults: {faults or 'none'}"


def told_failure(verdict: Verdict) -> Iterator[str]:
    """The lines that report a failure: violations, schedule, and the trace of the subject."""
    for violation in verdict.violations:
        yield str(violation)
    plan = verdict.plan
    yield ""
    yield (
        f"with {plan.nodes} nodes, {plan.users} users of {plan.devices} devices, "
        f"{plan.producers} producers, {plan.posts:g} posts a second for {plan.duration:g} s, and"
    )
    yield from (f"  {fault}" for fault in verdict.schedule)
    if not verdict.schedule:
        yield "  no faults"
    yield ""
    yield f"the last of {verdict.trace.count} lines of the trace that concern it:"
    yield from map(str, concerning(verdict.violations[0], list(verdict.trace.lines())))


def concerning(violation: Violation, lines: list[Line]) -> list[Line]:
    """The last *lines* about the subject of *violation*, and about the ids that it names."""
    ids = _ID.findall(violation.what)
    wanted = [violation.subject, *ids]
    found = [
        line
        for line in lines
        if line.time <= violation.time
        and (
            line.who in ("fault", "run")
            or any(each in f"{line.who} {line.what}" for each in wanted)
        )
    ]
    return found[-_LINES:]
