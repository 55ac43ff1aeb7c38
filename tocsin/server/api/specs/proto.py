"""The `.proto` file of the frames, written from the table that encodes and decodes them."""

from __future__ import annotations

from tocsin.protocol.frames.frames import SUBPROTOCOL_PROTOBUF
from tocsin.protocol.frames.protobuf import ENUMERATIONS, MESSAGES
from tocsin.protocol.protobuf import JSON, TIME, Enumeration, Field, Message

_HEAD = f"""\
// The frames of /v1/ws under the subprotocol {SUBPROTOCOL_PROTOBUF}: one ClientFrame or ServerFrame
// in each binary message. They mean what the JSON frames of these names mean: see /asyncapi.json.
syntax = "proto3";
package tocsin.v1;
"""


def proto_file() -> str:
    """The text of `/tocsin.proto`."""
    parts = [_HEAD, *map(_enumeration, ENUMERATIONS), *map(_message, MESSAGES)]
    return "\n".join(parts)


def _enumeration(enumeration: Enumeration) -> str:
    prefix = enumeration.name.upper()
    lines = [f"  {prefix}_UNSPECIFIED = 0;"]
    lines += [f"  {prefix}_{word.upper()} = {n};" for word, n in enumeration.numbers.items()]
    return _block(f"enum {enumeration.name}", lines)


def _message(message: Message) -> str:
    lines = list(map(_field, message.fields))
    if message.is_choice:
        lines = ["  oneof frame {", *(f"  {line}" for line in lines), "  }"]
    return _block(f"message {message.name}", lines)


def _field(field: Field) -> str:
    label = "repeated " if field.is_repeated else "optional " if field.is_optional else ""
    note = {id(JSON): "  // JSON", id(TIME): "  // Unix milliseconds"}.get(id(field.kind), "")
    return f"  {label}{field.kind.name} {field.name} = {field.number};{note}"


def _block(head: str, lines: list[str]) -> str:
    return "\n".join((f"{head} {{", *lines, "}", ""))
