"""The history of the costs as a picture: one line for each cost, one place for each record.

The scale is logarithmic, because halving a cost is worth as much from 30 µs as from 300. The
picture is plain SVG without a library, and a test holds it to the history.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from bench.history import Record, recorded

PICTURE: Final = (
    Path(__file__).resolve().parent.parent / "docs" / "pictures" / "benchmarks-history.svg"
)
STORE: Final = "postgres"
SHOWN: Final = {
    "POST on a kept connection": "#c0392b",
    "acknowledged delivery, 500 devices": "#2471a3",
    "batch, an item to a connected user": "#7d3c98",
    "WebSocket publish": "#b9770e",
    "fan-out to 1000 users with acks": "#1e8449",
    "fan-out to 1000 users without acks": "#566573",
}
"""The costs that are drawn, and the colour of each."""
_WIDTH, _HEIGHT = 900, 420
"""Pixels of the picture."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 600, 20, 360
"""Pixels: the edges of the drawing in it."""
_TICKS: Final = (20, 50, 100, 200, 500)
"""Costs with a line of their own, in µs; the first and the last are the ends of the scale."""
_LABEL_GAP: Final = 18
"""Pixels between two labels at least, so that none lies on another."""


class _Line(NamedTuple):
    name: str
    colour: str
    points: list[tuple[float, float]]
    last: float


def draw(records: Sequence[Record]) -> str:
    """The picture of *records*, of which at least one is on `STORE`, as SVG."""
    shown = [each for each in records if each.store == STORE]
    lines = [line for name in SHOWN if (line := _line(name, shown)).points]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        '<g font-family="sans-serif" font-size="12">',
        f"<title>µs CPU of our process for a unit of work, on {STORE}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *_scale(),
        *_dates(shown),
        *_drawn(lines),
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def write() -> None:
    """Draw the history into the docs. Raises `OSError`."""
    PICTURE.write_text(draw(recorded()), encoding="utf-8")


def _line(name: str, records: Sequence[Record]) -> _Line:
    costs = [
        (_x(number, len(records)), each.costs[name])
        for number, each in enumerate(records)
        if name in each.costs
    ]
    points = [(x, _y(cost)) for x, cost in costs]
    return _Line(name, SHOWN[name], points, costs[-1][1] if costs else 0.0)


def _x(number: int, count: int) -> float:
    return _LEFT + (number + 0.5) * (_RIGHT - _LEFT) / count


def _y(cost: float) -> float:
    first, last = math.log(_TICKS[0]), math.log(_TICKS[-1])
    part = (math.log(min(max(cost, _TICKS[0]), _TICKS[-1])) - first) / (last - first)
    return _BOTTOM - part * (_BOTTOM - _TOP)


def _scale() -> Iterator[str]:
    for tick in _TICKS:
        y = _y(tick)
        yield f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="#d5d8dc"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick} µs</text>'


def _dates(records: Sequence[Record]) -> Iterator[str]:
    for number, each in enumerate(records):
        x = _x(number, len(records))
        for row, text in enumerate((each.on, each.commit, f"send {each.bare_send:g} µs")):
            y = _BOTTOM + 18 + 15 * row
            yield f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _drawn(lines: Sequence[_Line]) -> Iterator[str]:
    lowest = 0.0
    for line in sorted(lines, key=lambda each: each.points[-1][1]):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.points)
        yield f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"/>'
        for x, y in line.points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"/>'
        lowest = max(lowest + _LABEL_GAP, line.points[-1][1] + 4)
        text = escape(f"{line.last:g} µs  {line.name}")
        yield f'<text x="{_RIGHT + 8}" y="{lowest:.1f}" fill="{line.colour}">{text}</text>'
