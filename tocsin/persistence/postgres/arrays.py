"""Encodes columns for Postgres as the text of arrays, which is cheap to make.

asyncpg writes an array in the binary format, element by element, and checks the type of each. That
was a third of a node's CPU for a batch. When one call joins the elements and the server casts the
text, a thousand identifiers cost as much as fifty did. The SQL files say `$1::text[]` all the same;
the statements that are sent say `$1::text::text[]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

Encoder = Callable[[Sequence[Any]], str]

_ARRAY: Final = re.compile(r"\$(\d+)::(text|bigint|int|boolean|bytea)\[\]")


def integers(column: Sequence[int | None]) -> str:
    """The text of an array of integers, such as `{1,NULL,3}`."""
    if _is_uniform(column):
        # The lines of a fan-out have most of their numbers in common.
        return _repeated("NULL" if column[0] is None else str(column[0]), len(column))
    if None in column:
        return "{" + ",".join(["NULL" if each is None else str(each) for each in column]) + "}"
    return "{" + ",".join(map(str, column)) + "}"


def booleans(column: Sequence[bool | None]) -> str:
    """The text of an array of booleans, such as `{t,NULL,f}`."""
    return "{" + ",".join([_BOOLEANS[each] for each in column]) + "}"


def octets(column: Sequence[bytes | None]) -> str:
    """The text of an array of bytes, such as `{"\\\\x0aff",NULL}`."""
    return (
        "{"
        + ",".join(["NULL" if each is None else f'"\\\\x{each.hex()}"' for each in column])
        + "}"
    )


def texts(column: Sequence[str | None]) -> str:
    """The text of an array of texts, such as `{"a","say \\"b\\"",NULL}`."""
    if None not in column:
        joined = '","'.join(column)  # type: ignore[arg-type]
        # The fast path: most columns are identifiers, which need no escaping.
        if "\\" not in joined and joined.count('"') == 2 * (len(column) - 1):
            return '{"' + joined + '"}'
    elif _is_uniform(column):
        return _repeated("NULL", len(column))
    return "{" + ",".join(map(_text, column)) + "}"


def _is_uniform(column: Sequence[object]) -> bool:
    """Whether all elements are equal; of others, mostly the first and the last differ."""
    return bool(column) and column[0] == column[-1] and column.count(column[0]) == len(column)


def _repeated(text: str, count: int) -> str:
    return "{" + ",".join([text] * count) + "}"


def _text(each: str | None) -> str:
    if each is None:
        return "NULL"
    return '"' + each.replace("\\", "\\\\").replace('"', '\\"') + '"'


_BOOLEANS: Final = {True: "t", False: "f", None: "NULL"}
_ENCODERS: Final[dict[str, Encoder]] = {
    "text": texts,
    "bigint": integers,
    "int": integers,
    "boolean": booleans,
    "bytea": octets,
}


def with_array_texts(sql: str, parameters: int) -> tuple[str, tuple[Encoder, ...]]:
    """*sql* changed to take its arrays as text, and for each parameter the encoder of that text."""
    encoders = {int(number): _ENCODERS[kind] for number, kind in _ARRAY.findall(sql)}
    in_order = tuple([encoders[number] for number in range(1, parameters + 1)])
    return _ARRAY.sub(r"$\1::text::\2[]", sql), in_order
