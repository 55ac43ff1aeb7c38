"""JSON Schemas of our types, as msgspec writes them, made fit for readers and other tools."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tocsin.protocol.user_ids import USER_ID_CHARACTER, USER_ID_CHARACTER_OF_SCHEMAS
from tocsin.server.api.specs.rules import RULES
from tocsin.server.api.specs.words import described

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/{name}"
# Python's `$` also matches before a newline at the end. That of JSON Schema (ECMA-262) does not.
_PYTHON_END: Final = r"$(?!\n)"
_NULL: Final = {"type": "null"}


def reference(type_: type) -> Schema:
    """A pointer to the schema of the struct *type_*."""
    return {"$ref": REFERENCE.format(name=type_.__name__)}


def components(types: Iterable[Any]) -> dict[str, Schema]:
    """The schemas of all structs in *types*, by name."""
    _, named = msgspec.json.schema_components(types, ref_template=REFERENCE)
    return {
        name: described(name, _readable(schema) | RULES.get(name, {}))
        for name, schema in sorted(named.items())
    }


def schema_of(type_: Any) -> Schema:
    """The schema of *type_*; structs in it are pointers."""
    [schema], _ = msgspec.json.schema_components([type_], ref_template=REFERENCE)
    return _readable(schema)


def fields_of(type_: type[msgspec.Struct]) -> dict[str, Schema]:
    """The schemas of the fields of *type_*, by name."""
    named = components([type_])
    fields: dict[str, Schema] = named[type_.__name__]["properties"]
    # An enum is a component of its own; where fields stand alone, it has to be said in place.
    return {name: _in_place(schema, named) for name, schema in fields.items()}


def _in_place(schema: Schema, named: dict[str, Schema]) -> Schema:
    if "$ref" not in schema:
        return schema
    target = named[schema["$ref"].rpartition("/")[2]]
    return {**target, **{name: value for name, value in schema.items() if name != "$ref"}}


def _readable(schema: Schema) -> Schema:
    """*schema*, saying the same in fewer words, and in those of JSON Schema only."""
    made = {name: _inside(name, value) for name, value in schema.items() if value != []}
    if "pattern" in made:
        pattern = made["pattern"].replace(_PYTHON_END, "$")
        made["pattern"] = pattern.replace(USER_ID_CHARACTER, USER_ID_CHARACTER_OF_SCHEMAS)
    if "description" in made:
        made["description"] = inspect.cleandoc(made["description"])
    if "type" not in made and all(isinstance(each, str) for each in made.get("enum", [0])):
        made["type"] = "string"
    return _nullable(made)


def _inside(name: str, value: Any) -> Any:
    if name == "properties":
        return {field: _readable(schema) for field, schema in value.items()}
    if isinstance(value, dict) and name in {"items", "additionalProperties", "propertyNames"}:
        return _readable(value)
    if name == "anyOf":
        return [_readable(each) for each in value]
    return value


def _nullable(schema: Schema) -> Schema:
    """`anyOf` of a simple type and null, as one type with two names."""
    match schema.get("anyOf"):
        case [{"type": str(type_)} as kind, null] if null == _NULL and "properties" not in kind:
            both = {**schema, **kind, "type": [type_, "null"]}
            del both["anyOf"]
            if "enum" in kind:
                both["enum"] = [*kind["enum"], None]
            return both
    return schema
