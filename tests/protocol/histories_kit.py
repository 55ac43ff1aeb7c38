"""How far the state machines of this room search, and what a failure may cost."""

from __future__ import annotations

from typing import Final

from hypothesis import Phase, settings

HISTORIES: Final = settings(
    max_examples=250,  # some 5 to 7 seconds of a machine that has nothing else to do
    stateful_step_count=50,
    deadline=None,
    # A failure is shrunk, or nothing can be read in it, but alone, and no line is tried out that
    # may explain it. That takes seconds; all failures of a history, and the explanations of them,
    # take ten times as long, minutes where tests run side by side.
    report_multiple_bugs=False,
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
"""For a longer search: `settings(HISTORIES, max_examples=5000)`, by hand."""
