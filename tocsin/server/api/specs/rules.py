"""The rules beyond the types of fields: which of them go together, and which do not.

Where it is checked, it is a line of code with an answer that says what is wrong. Here it is said
once more for programs; schemathesis shows that the two agree.
"""

from __future__ import annotations

from typing import Any, Final

Rule = dict[str, Any]


def _one_of(*names: str) -> Rule:
    """Exactly one of the fields is given; `null` and `false` are as good as nothing."""
    return {"oneOf": [_given(name) for name in names]}


def _given(*names: str) -> Rule:
    something = {"not": {"enum": [None, False]}}
    return {"required": list(names), "properties": dict.fromkeys(names, something)}


_FOR_A_STREAM: Final = {"required": ["for"], "properties": {"for": {"const": "stream"}}}
_ONE_EXPIRY: Final = {"not": _given("ttl", "expires_at")}

RULES: Final[dict[str, Rule]] = {
    "Ack": _one_of("sequence", "ids"),
    "AckBody": _one_of("cursor", "ids"),
    "BatchItem": _ONE_EXPIRY,
    "Draft": _ONE_EXPIRY,
    "Mark": _one_of("ids", "through", "all"),
    "MarkRequest": _one_of("ids", "through", "all"),
    "Patch": {"minProperties": 1},
    "Recipients": _one_of("users", "topic", "all"),
    "TicketRequest": {"anyOf": [{"not": _given("device")}, _FOR_A_STREAM]},
}
"""By the name of the type."""
