"""Reading what clients say into types, and saying what is wrong with it, and where."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from tocsin.protocol.instants import INSTANT_NOTATION, INSTANT_PATTERN
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.repeated_keys import repeated_key
from tocsin.protocol.user_ids import USER_ID_CHARACTER

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

NotificationId = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)"),
]

ConnectorName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)")]

# As msgspec writes them in a message, where they tell people nothing.
_VISIBLE: Final = repr(USER_ID_CHARACTER)[1:-1]
_INSTANT: Final = f"`str` matching regex {INSTANT_PATTERN!r}"
_NAME_SHOWN: Final = 100
"""Characters of a client's word in an answer."""


def decode(type_: type[T], body: bytes | msgspec.Raw) -> T:
    """Read a request's JSON; raises `Refused` that says what is wrong, and where.

    A key that is twice in an object is wrong too, at any depth.
    """
    value = decode_outside(type_, body)
    try:
        repeated = repeated_key(bytes(body))
    except RecursionError:
        raise refuse("malformed", "The JSON is nested too deeply.") from None
    if repeated is not None:
        message = f"Object contains the field `{repeated[:_NAME_SHOWN]}` more than once"
        raise refuse("invalid", message, [FieldError("$", message)])
    return value


def decode_outside(type_: type[T], body: bytes | msgspec.Raw) -> T:
    """As `decode`, for what has `Raw` in it that is decoded by itself, and no keys around it."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse("malformed", f"This is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise refuse("malformed", "The JSON is nested too deeply.") from None


def check(type_: type[T], value: object) -> T:
    """Read what has been decoded, as `decode` does; raises `Refused`."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def read_text(type_: Any, text: str) -> Any:
    """Read *text*, which stood in an address; raises `ValueError`."""
    # A ValidationError is one. Not strict: in an address, a number is text as well.
    return msgspec.convert(text, type_, strict=False)


def read_query(type_: type[S], fields: Mapping[str, list[str]]) -> S:
    """Read a query's *fields*, each with all its values, into the struct *type_*.

    Raises `Refused`, also for parameters that are unknown or there twice: so that typing
    errors are seen.
    """
    if not fields and (nothing := _nothing_said(type_)) is not None:
        return nothing  # type: ignore[return-value]
    unknown = sorted(set(fields) - set(type_.__struct_encode_fields__))
    if unknown:
        wrong = [FieldError(f"?{name}", "is not known here") for name in unknown]
        raise refuse("invalid", f"No such query parameter: {', '.join(unknown)}.", wrong)
    twice = sorted(name for name, values in fields.items() if len(values) > 1)
    if twice:
        wrong = [FieldError(f"?{name}", "is given more than once") for name in twice]
        raise refuse("invalid", f"The query parameter {twice[0]} is given more than once.", wrong)
    try:
        return msgspec.convert({name: text for name, [text] in fields.items()}, type_, strict=False)
    except msgspec.ValidationError as error:
        message, path = _parts(error)
        path = "?" + path.removeprefix("$").removeprefix(".")
        raise refuse("invalid", f"{message} (at {path})", [FieldError(path, message)]) from None


@cache
def _nothing_said(type_: type[msgspec.Struct]) -> msgspec.Struct | None:
    """The query without a field, which is the same for all who send none; `None` if there are
    fields that have to be given."""
    try:
        return type_()
    except TypeError:
        return None


def _invalid(error: msgspec.ValidationError) -> Refused:
    message, path = _parts(error)
    return refuse("invalid", f"{message} (at {path})", [FieldError(path, message)])


def _parts(error: msgspec.ValidationError) -> tuple[str, str]:
    """The fault, and its place: "… - at `$.to`". Both may have words of the client's in them."""
    text = str(error).replace(_VISIBLE, "[visible]").replace(_INSTANT, INSTANT_NOTATION)
    message, found, path = text.rpartition(" - at `")
    if not found or not path.startswith("$") or not path.endswith("`"):
        return text, "$"
    return message, path.removesuffix("`")
