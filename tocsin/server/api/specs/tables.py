"""Schemas in words, and tables: the parts of the page that say what something is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from tocsin.protocol.user_ids import USER_ID_CHARACTER_OF_SCHEMAS

Document = dict[str, Any]

_LINE_WIDTH: Final = 64
"""Characters of JSON that are kept on one line: as many as fit beside the text of the page."""
_CODE: Final = re.compile(r"`([^`]+)`")
_EMPHASIS: Final = re.compile(r"(?<!\w)\*(\w[^*]*)\*(?!\w)")
_NUMBERS: Final = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
_LENGTHS: Final = {
    ("minLength", "maxLength"): "characters",
    ("minItems", "maxItems"): "items",
    ("minProperties", "maxProperties"): "entries",
}


def inline(text: str) -> str:
    """*text* with its `code` and *emphasis*, as HTML."""
    return _EMPHASIS.sub(r"<em>\1</em>", _CODE.sub(r"<code>\1</code>", escape(text)))


def pretty(value: Any, indent: str = "") -> str:
    """*value* as JSON for people: what fits on a line stands on one."""
    text = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(text) <= _LINE_WIDTH or not value or not isinstance(value, dict | list):
        return text
    inner = indent + "  "
    if isinstance(value, list):
        ends, lines = "[]", [pretty(each, inner) for each in value]
    else:
        ends = "{}"
        lines = [f"{json.dumps(name)}: {pretty(each, inner)}" for name, each in value.items()]
    return "".join(
        (ends[0], "\n", ",\n".join(inner + each for each in lines), "\n", indent, ends[1])
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; columns that are empty are left out."""
    cells = list(rows)
    kept = [index for index in range(len(heads)) if any(row[index] for row in cells)]
    head = "".join(f"<th>{heads[index]}</th>" for index in kept)
    body = "".join(
        f"<tr>{''.join(_cell(heads[index], row[index]) for index in kept)}</tr>" for row in cells
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(head: str, content: str) -> str:
    # A narrow screen has no columns: there each cell says what it is.
    empty = "" if content else ' class="empty"'
    return f'<td data-head="{head}"{empty}>{content}</td>'


def field_table(schema: Document) -> str:
    """The fields of an object."""
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{escape(name)}</code>",
            type_text(field),
            "required" if name in required else default_text(field),
            inline(field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("field", "what", "", "about"), rows) if rows else ""


def type_text(schema: Document) -> str:
    """The values that *schema* allows, in words, as HTML."""
    return " ".join(filter(None, [_kind(schema), *_bounds(schema)]))


def _kind(schema: Document) -> str:
    match schema:
        case {"$ref": str(target)}:
            name = escape(target.rpartition("/")[2])
            return f'<a href="#type-{name}">{name}</a>'
        case {"anyOf": list(choices)}:
            return " or ".join(map(type_text, choices))
        case {"const": value} | {"enum": [value]}:
            return f"<code>{_literal(value)}</code>"
        case {"enum": list(values)}:
            return " · ".join(f"<code>{_literal(value)}</code>" for value in values)
        case {"type": "array"}:
            return f"list of {type_text(schema.get('items', {}))}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"map to {type_text(values)}"
        case {"type": list(types)}:
            return " or ".join(_kind({**schema, "type": each}) for each in types)
        case {"type": str(type_)}:
            return type_
        case _:
            return "anything"


def _bounds(schema: Document) -> list[str]:
    words = [
        f"{sign} {schema[name]:.16g}"
        for name, sign in _NUMBERS
        # So many are as good as no bound.
        if schema.get(name, 0) not in (0, 2**53)
    ]
    for (low, high), unit in _LENGTHS.items():
        if high in schema:
            words.append(f"of {schema.get(low, 0)} to {schema[high]} {unit}")
    if "format" in schema:
        words.append(f"({escape(schema['format'])})")
    if "pattern" in schema:
        # The list of what cannot be seen tells people nothing.
        pattern = schema["pattern"].replace(USER_ID_CHARACTER_OF_SCHEMAS, "[visible]")
        words.append(f"<code>{escape(pattern)}</code>")
    return words


def default_text(field: Document) -> str:
    """The default of *field*, as HTML; nothing, if that says nothing."""
    default = field.get("default")
    return "" if default in (None, [], {}) else f"default <code>{_literal(default)}</code>"


def _literal(value: Any) -> str:
    return escape(value if isinstance(value, str) else json.dumps(value))
