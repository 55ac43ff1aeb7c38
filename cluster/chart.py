"""Writes what is made of the Helm chart: `./dev chart`. Here, the schema of its values.

Helm refuses values that do not fit `values.schema.json`. The settings of a node are known to
`tocsin.settings` alone, so that part of the schema is made from it, and a test compares the two.
The durations of a chart need a unit: `drain_time: 20` might mean minutes as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cluster import dashboard
from tocsin.settings import SETTINGS
from tocsin.settings.setting import Setting

FILE = Path(__file__).parent.parent / "deploy" / "chart" / "values.schema.json"

OF_THE_CHART = frozenset({"host", "port", "metrics_port", "data", "node", "workers"})
"""Settings that the chart gives itself: a pod is one process with ports and a name of its own."""
LISTS = frozenset({"addresses", "networks", "origins"})
PATTERNS = {
    "duration": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$",
    "size": r"^[0-9]+(B|KiB|MiB|GiB)$",
}
A_KEY: dict[str, Any] = {
    "type": ["object", "null"],
    "additionalProperties": False,
    "required": ["name", "key"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "key": {"type": "string", "minLength": 1},
    },
}
"""A key of a Secret; null takes a default back."""


def settings_schema() -> dict[str, Any]:
    """The schema of `settings`: each setting by its name, but for secrets and the chart's own."""
    return _closed(
        {
            known.name: _value(known)
            for known in SETTINGS
            if not known.kind.secret and known.name not in OF_THE_CHART
        }
    )


def secrets_schema() -> dict[str, Any]:
    """The schema of `secrets`: the key of a Secret for each secret setting."""
    return _closed({known.name: A_KEY for known in SETTINGS if known.kind.secret})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(known: Setting) -> dict[str, Any]:
    schema = _of_kind(known)
    schema["description"] = known.help.split(". ")[0].rstrip(".") + "."
    return schema


def _of_kind(known: Setting) -> dict[str, Any]:
    kind = known.kind.name
    if kind == "count":
        assert known.low is not None
        assert known.high is not None
        return {"type": "integer", "minimum": int(known.low), "maximum": int(known.high)}
    if kind in PATTERNS:
        return {"type": "string", "pattern": PATTERNS[kind]}
    if kind in LISTS:
        return {"type": ["string", "array"], "items": {"type": "string"}}
    if words := known.kind.words:
        # YAML takes a bare `on` for true; the chart's template turns that back into the word.
        return {"enum": [*words, *([True, False] if set(words) == {"on", "off"} else [])]}
    return {"type": "string", "minLength": 1}


def updated(text: str) -> str:
    """The chart's schema *text* with the parts that are made here."""
    schema = json.loads(text)
    schema["properties"]["settings"] = settings_schema()
    schema["properties"]["secrets"] = secrets_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(updated(FILE.read_text(encoding="utf-8")), encoding="utf-8")
    dashboard.FILE.write_text(dashboard.dashboard(), encoding="utf-8")
