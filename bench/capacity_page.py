"""The capacity of a load as one HTML file: tables and charts, without a script or a request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from bench.capacity_constants import Constants
from bench.capacity_model import Load, Plan, plan

_STEPS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares of the load for which the chart shows how full each part is."""
_BAR: Final = 420
"""Pixels of the longest bar."""
_ROW: Final = 22
"""Pixels from one bar to the next."""
_STYLE: Final = (
    "body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:2px 8px;"
    "text-align:left}td:nth-child(2){text-align:right}"
)


def page(load: Load, found: Plan, constants: Constants) -> str:
    """The page for *load*, which *found* is the plan of."""
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Capacity</title>',
        f"<style>{_STYLE}</style></head><body><h1>Capacity</h1>",
        f"<p>{load.rate:,.0f} deliveries a second, {load.clients:,.0f} clients,",
        f"{load.fan_out:g} recipients of a notification, kept for {load.retention:g} days.",
        "Computed from the constants below, and not measured.</p>",
        f"<p>First to break: <b>{escape(found.breaks_first.name)}</b>.</p>",
        "<h2>How often one of each is full</h2>",
        *_bars([(each.name, each.used) for each in found.limits], " times"),
        "<h2>The fullest part, by the share of the load</h2>",
        *_bars(_growth(load, constants), " times"),
        "<h2>Cores</h2>",
        *_bars([(each.name, each.amount) for each in found.needs if each.unit == "cores"], ""),
        "<h2>Money, a month</h2>",
        *_bars([(each.name, each.amount) for each in found.needs if each.unit == "a month"], ""),
        "<h2>Needs</h2>",
        *_table((each.name, f"{each.amount:,.4g} {each.unit}", each.how) for each in found.needs),
        "<h2>Constants</h2>",
        *_table(
            (name, f"{each.value:,.4g} {each.unit}", f"{each.origin}: {each.source}")
            for name, each in sorted(constants.items())
        ),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _growth(load: Load, constants: Constants) -> list[tuple[str, float]]:
    found = []
    for step in _STEPS:
        part = Load(load.rate * step, load.clients * step, load.fan_out, load.retention)
        first = plan(part, constants).breaks_first
        found.append((f"{step:g} of it: {first.name}", first.used))
    return found


def _bars(values: Sequence[tuple[str, float]], unit: str) -> Iterator[str]:
    longest = max((value for _, value in values), default=0.0) or 1.0
    yield f'<svg viewBox="0 0 900 {_ROW * len(values) + 6}" font-size="13">'
    for number, (name, value) in enumerate(values):
        y, width = _ROW * number + 4, max(1.0, value / longest * _BAR)
        yield f'<text x="0" y="{y + 14}">{escape(name)}</text>'
        yield f'<rect x="300" y="{y}" width="{width:.1f}" height="16" fill="#2471a3"/>'
        text = escape(f"{value:,.3g}{unit}")
        yield f'<text x="{306 + width:.1f}" y="{y + 14}">{text}</text>'
    yield "</svg>"


def _table(rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    yield "<table>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table>"
