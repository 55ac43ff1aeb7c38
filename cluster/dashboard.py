"""The dashboard for Grafana, which `./dev chart` writes.

One page that answers, from top to bottom: do people get their notifications, and in time; is a node
short of something; are store, bus and spool well. Panels are data below; every query is run by a
test against a Prometheus that has scraped a cluster, and has to find something.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).parent.parent / "deploy" / "chart" / "files" / "dashboard.json"
COLUMNS: Final = 24
"""Widths of Grafana's grid."""
HEIGHT: Final = 8
"""Rows of the grid that a panel takes."""
OURS: Final = 'job=~"$job"'


_PUSHES: Final = "tocsin_publish_push_seconds"
_IN_TIME: Final = 'le="1.0"'


class Panel(NamedTuple):
    """A chart: *queries* by their legend, and what the reader should think of them."""

    title: str
    about: str
    unit: str
    queries: dict[str, str]


def _quantiles(metric: str, labels: str = "") -> dict[str, str]:
    """The median and the slowest hundredth of a histogram, over all nodes."""
    chosen = ", ".join(filter(None, (OURS, labels)))
    rate = f"sum by (le) (rate({metric}_bucket{{{chosen}}}[$__rate_interval]))"
    return {f"p{p}": f"histogram_quantile(0.{p}, {rate})" for p in (50, 99)}


def _rate(metric: str, by: str, labels: str = "") -> str:
    chosen = ", ".join(filter(None, (OURS, labels)))
    return f"sum by ({by}) (rate({metric}{{{chosen}}}[$__rate_interval]))"


def _gauge(metric: str) -> str:
    return f"{metric}{{{OURS}}}"


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Do people get their notifications in time?": (
        Panel(
            *("Publish to push", "From a post to the push, for devices that are there.", "s"),
            _quantiles("tocsin_publish_push_seconds"),
        ),
        Panel(
            *("Publish to acknowledgment", "The way there and back, and the device's part.", "s"),
            _quantiles("tocsin_publish_ack_seconds"),
        ),
        Panel(
            *("Publish to answer", "How long producers wait.", "s"),
            _quantiles("tocsin_publish_seconds"),
        ),
        Panel(
            *("Late pushes", "Share that took longer than a second: below 1 %.", "percentunit"),
            {
                "{{path}}": f"1 - {_rate(_PUSHES + '_bucket', 'path', _IN_TIME)}"
                f" / ({_rate(_PUSHES + '_count', 'path')} > 0) or vector(0)"
            },
        ),
    ),
    "What becomes of the pushes?": (
        Panel(
            *("Pushes", "By transport.", "ops"),
            {"{{transport}}": _rate("tocsin_pushes_total", "transport")},
        ),
        Panel(
            *("Answers of devices", "Refused ones are sent again.", "ops"),
            {"{{outcome}}": _rate("tocsin_acks_total", "outcome")},
        ),
        Panel(
            *("Sent again, given up", "Devices that do not answer, or refuse.", "ops"),
            {
                "sent again: {{cause}}": _rate("tocsin_resends_total", "cause"),
                "given up: {{cause}}": _rate("tocsin_dead_letters_total", "cause"),
            },
        ),
        Panel(
            *("Sessions that ended", "By the reason that the device was told.", "ops"),
            {"{{reason}}": _rate("tocsin_closed_total", "reason") + " > 0 or vector(0)"},
        ),
    ),
    "Who is there?": (
        Panel(
            *("Sessions", "Devices that are connected, by transport.", "short"),
            {"{{transport}}": f"sum by (transport) (tocsin_sessions_by_transport{{{OURS}}})"},
        ),
        Panel(
            *("Users online", "Per node; even, if the balancer does its work.", "short"),
            {"{{instance}}": _gauge("tocsin_users_online")},
        ),
        Panel(
            *("Notifications under way", "Told, and not yet acknowledged by all.", "short"),
            {"{{instance}}": _gauge("tocsin_notifications_live")},
        ),
        Panel(
            *("Refused", "What the doors refused, by reason: people who got nothing.", "reqps"),
            {
                "{{reason}}": _rate("tocsin_refused_total", "reason") + " > 0 or vector(0)",
                "credential: {{kind}}": _rate("tocsin_auth_failures_total", "kind"),
            },
        ),
    ),
    "Is a node short of something?": (
        Panel(
            *("Event loop: lag", "What every answer waits for besides its work.", "s"),
            _quantiles("tocsin_loop_lag_seconds"),
        ),
        Panel(
            *("Event loop: busy", "Above 80 % it answers late: one node more.", "percentunit"),
            {"{{instance}}": _gauge("tocsin_loop_busy")},
        ),
        Panel(
            *("Memory", "In RAM; an idle connection takes about 20 KiB.", "bytes"),
            {"{{instance}}": _gauge("process_resident_memory_bytes")},
        ),
        Panel(
            *("File descriptors", "Share of those that the process may open.", "percentunit"),
            {"{{instance}}": f"{_gauge('process_open_fds')} / {_gauge('process_max_fds')}"},
        ),
    ),
    "Is the store well?": (
        Panel(
            *("Transactions: time", "From begin to commit; a post waits for one.", "s"),
            _quantiles("tocsin_store_transaction_seconds", 'kind="write"'),
        ),
        Panel(
            *("Reads: time", "Of a batch: replays, inboxes.", "s"),
            _quantiles("tocsin_store_transaction_seconds", 'kind="read"'),
        ),
        Panel(
            *("Commands and transactions", "Commands far above: groups are large.", "ops"),
            {
                "commands": f"sum(rate(tocsin_store_commands_total{{{OURS}}}[$__rate_interval]))",
                "transactions": "sum(rate(tocsin_store_transactions_total"
                f"{{{OURS}}}[$__rate_interval]))",
            },
        ),
        Panel(
            *("Failures", "Times that the store could not be used.", "ops"),
            {"{{instance}}": _rate("tocsin_store_failures_total", "instance")},
        ),
    ),
    "Are the nodes together?": (
        Panel(
            *("Nodes heard", "By each node: all others, or something is apart.", "short"),
            {"{{instance}}": _gauge("tocsin_bus_nodes")},
        ),
        Panel(
            *("Bus: time", "From a node's own sign of life to hearing it.", "s"),
            _quantiles("tocsin_bus_seconds"),
        ),
        Panel(
            *("Found by looking", "Changes that the bus did not tell: none, in good times.", "ops"),
            {"{{instance}}": _rate("tocsin_bus_found_total", "instance")},
        ),
        Panel(
            *("Spool", "Posts that wait for the store.", "short"),
            {"entries": f"max(tocsin_spool_entries{{{OURS}}})"},
        ),
    ),
}


def queries() -> Iterator[str]:
    """Every query of the dashboard."""
    for panels in ROWS.values():
        for panel in panels:
            yield from panel.queries.values()


def dashboard() -> str:
    """The dashboard, as the JSON that Grafana imports."""
    document = json.dumps(
        {
            "title": "Tocsin",
            "uid": "tocsin",
            "schemaVersion": 39,
            "tags": ["tocsin"],
            "timezone": "browser",
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": [_DATASOURCE, _JOB]},
            "panels": list(_panels()),
        },
        indent=2,
    )
    return document + "\n"


_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_DATASOURCE: Final = {"name": "datasource", "type": "datasource", "query": "prometheus"}
_JOB: Final = {
    "name": "job",
    "type": "query",
    "datasource": _SOURCE,
    "query": "label_values(tocsin_build_info, job)",
    "refresh": 2,
    "includeAll": True,
    "multi": True,
    "current": {"text": "All", "value": "$__all"},
}


def _panels() -> Iterator[dict[str, Any]]:
    top, number = 0, 0
    for title, panels in ROWS.items():
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": 1000 + top, "type": "row", "title": title, "gridPos": place, "panels": []}
        width = COLUMNS // len(panels)
        for column, panel in enumerate(panels):
            number += 1
            place = {"x": column * width, "y": top + 1, "w": width, "h": HEIGHT}
            yield _timeseries(number, panel, place)
        top += 1 + HEIGHT


def _timeseries(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }
