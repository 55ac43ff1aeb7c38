"""The judgement of a run: its figures beside its thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

from tocsin.load.engine import LoadOutcome
from tocsin.load.latencies import Latencies
from tocsin.load.plan import Thresholds

_MISSING_MAX: Final = 100
"""Missing notifications that a report names; the count has them all."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A figure beyond its threshold."""

    name: str
    found: float
    allowed: float

    def __str__(self) -> str:
        return f"{self.name}: {self.found:g}, at most {self.allowed:g} allowed"


def figures(outcome: LoadOutcome) -> dict[str, float | None]:
    """The figures that thresholds are about, by their names."""
    tally = outcome.books.tally
    pushes = outcome.books.pushes
    return {
        "lost": sum(1 for _ in outcome.books.missing()),
        "repeated": tally.repeated,
        "disordered": tally.disordered,
        "refused": tally.refused + tally.unanswered,
        "p50": pushes.quantile(0.5),
        "p99": pushes.quantile(0.99),
    }


def breaches(outcome: LoadOutcome, thresholds: Thresholds) -> list[Breach]:
    """All figures that are beyond their thresholds; a time that was never measured is."""
    found = []
    for name, figure in figures(outcome).items():
        allowed = getattr(thresholds, name)
        if allowed is not None and (figure is None or figure > allowed):
            found.append(Breach(name, float("inf") if figure is None else figure, allowed))
    return found


def document(outcome: LoadOutcome, thresholds: Thresholds) -> dict[str, Any]:
    """All that is known of a run, to be written as JSON; times in seconds."""
    books = outcome.books
    return {
        "plan": asdict(outcome.plan),
        "figures": figures(outcome),
        "thresholds": asdict(thresholds),
        "breaches": [asdict(each) for each in breaches(outcome, thresholds)],
        "tally": asdict(books.tally),
        "missing": [
            {"user": user, "number": number}
            for user, number in islice(books.missing(), _MISSING_MAX)
        ],
        "push": _quantiles(books.pushes),
        "answer": _quantiles(books.answers),
        "times": {
            "connecting": outcome.connecting,
            "posting": outcome.posting,
            "settling": outcome.settling,
            "cpu": outcome.cpu,
        },
        "samples": [{"at": at, **asdict(tally)} for at, tally in outcome.samples],
    }


def _quantiles(times: Latencies) -> dict[str, float | int | None]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
    return {
        "count": times.count,
        **{name: times.quantile(share) for name, share in shares.items()},
        "max": times.greatest if times.count else None,
    }
