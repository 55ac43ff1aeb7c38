"""The report of a run: some lines for a terminal, and one HTML file with charts.

The file has everything in it and loads nothing, so it can be sent to somebody and opened in ten
years. Charts are drawn as SVG here; there is no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final

_WIDTH, _HEIGHT = 640, 160
"""Pixels of a chart."""
_COLOURS: Final = ("#2563eb", "#d97706", "#059669")
_STYLE: Final = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.05rem;margin-top:2.5rem}
table{border-collapse:collapse}td,th{padding:.2rem 1.2rem .2rem 0;text-align:left}
td:nth-child(n+2){text-align:right;font-variant-numeric:tabular-nums}
.held{color:#059669}.broken{color:#dc2626}small{opacity:.7}
svg{width:100%;height:auto;overflow:visible}svg text{font:11px system-ui;fill:currentColor}
"""


def lines(run: dict[str, Any]) -> list[str]:
    """The report in the terminal when the run is over."""
    tally, push, times = run["tally"], run["push"], run["times"]
    cuts = f", {tally['cut']} connections cut" if tally["cut"] else ""
    drops = f", {tally['forgotten']} dropped by devices" if tally["forgotten"] else ""
    posts = f"{tally['accepted']} of {tally['posts']} posts accepted"
    median, slow, longest = (milliseconds(push[name]) for name in ("p50", "p99", "max"))
    faults = f"lost {run['figures']['lost']}, repeated {tally['repeated']}"
    told = [
        f"{posts}, {tally['pushes']} pushes to {run['plan']['devices']} devices{cuts}{drops}",
        f"{faults}, out of order {tally['disordered']}, sent again {tally['resent']}",
        f"publish to push: {median} median, {slow} p99, {longest} longest",
        f"{times['cpu']:.1f} s of CPU for the load itself",
    ]
    if tally["unanswered"]:
        told.append(f"{tally['unanswered']} posts got no answer: they may be stored or not")
    return told


def milliseconds(seconds: float | None) -> str:
    """*seconds* for a person."""
    return "none measured" if seconds is None else f"{seconds * 1000:.3g} ms"


def page(run: dict[str, Any], *, target: str, began: str) -> str:
    """The HTML of one *run* against *target*, which *began* then."""
    held = not run["breaches"]
    verdict = "All thresholds held." if held else "Thresholds were broken."
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{_figure(name, value)}</td>"
        f"<td>{_figure(name, run['thresholds'][name])}</td></tr>"
        for name, value in run["figures"].items()
    )
    plan = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in run["plan"].items()
    )
    said = "".join(f"<li>{escape(line)}</li>" for line in lines(run))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Load: {escape(run['plan']['scenario'])}</title><style>{_STYLE}</style>"
        f"<h1>Load: {escape(run['plan']['scenario'])}</h1>"
        f"<small>{escape(target)}, {escape(began)}</small>"
        f"<p class={'held' if held else 'broken'}><strong>{verdict}</strong></p><ul>{said}</ul>"
        f"<h2>Figures and thresholds</h2><table><tr><th><th>found<th>at most</tr>{rows}</table>"
        f"<h2>Posts accepted and pushes, each second</h2>"
        f"{_chart(_rates(run['samples'], ('accepted', 'pushes')), ('posts', 'pushes'))}"
        f"<h2>Sent again, and connections cut or ended, each second</h2>"
        f"{_chart(_rates(run['samples'], ('resent', 'cut', 'ended')), ('resent', 'cut', 'ended'))}"
        f"<h2>Parameters</h2><table>{plan}</table></html>\n"
    )


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return milliseconds(value) if name.startswith("p") else f"{value:g}"


Series = list[tuple[float, float]]


def _rates(samples: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Series]:
    """Of each counter in *names*, what it grew by in a second, at each sample."""
    pairs = list(pairwise(samples))
    return [
        [
            (after["at"], (after[name] - before[name]) / max(1e-3, after["at"] - before["at"]))
            for before, after in pairs
        ]
        for name in names
    ]


def _chart(series: Sequence[Series], names: Sequence[str]) -> str:
    """Lines over time, with their greatest value at the top."""
    points = [point for each in series for point in each]
    if not points:
        return "<p><small>The run was too short for a chart.</small></p>"
    until = max(at for at, _ in points) or 1.0
    top = max(value for _, value in points) or 1.0
    drawn = []
    for each, colour in zip(series, _COLOURS, strict=False):
        path = " ".join(
            f"{at / until * _WIDTH:.1f},{_HEIGHT - value / top * _HEIGHT:.1f}" for at, value in each
        )
        drawn.append(f"<polyline fill=none stroke='{colour}' stroke-width=1.5 points='{path}'/>")
    legend = "".join(
        f"<text x={index * 90} y={_HEIGHT + 30} style='fill:{colour}'>{escape(name)}</text>"
        for index, (name, colour) in enumerate(zip(names, _COLOURS, strict=False))
    )
    return (
        f"<svg viewBox='0 -12 {_WIDTH} {_HEIGHT + 48}' role=img>"
        f"<line x1=0 y1={_HEIGHT} x2={_WIDTH} y2={_HEIGHT} stroke=currentColor opacity=.3 />"
        f"<text x=0 y=-2>{top:,.0f} /s</text>"
        f"<text x={_WIDTH} y={_HEIGHT + 14} text-anchor=end>{until:.0f} s</text>"
        f"{''.join(drawn)}{legend}</svg>"
    )
