"""Protocol Buffers on the wire: messages by a table of their fields, both ways.

https://protobuf.dev/programming-guides/encoding. A *message* here is a type of that language, and
no message of an actor. Values are those of JSON: objects are dicts or structs with the fields'
names, an enumeration is its word, a time is RFC 3339 text. So a frame is checked by the types that
check JSON, and one table serves encoder, decoder, and the `.proto` file that is published.

Written here, and not taken from the library `protobuf`, because there is little of it: no groups,
no maps, no packed numbers, no extensions. The work is bounded whatever the bytes are: it is linear
in them, a message has so many fields at most, and messages nest as deep as the table does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Final

import msgspec

from tocsin.protocol.errors import DescribedError
from tocsin.protocol.instants import parse_instant
from tocsin.protocol.values import to_rfc3339

VARINT, I64, LEN, I32 = 0, 1, 2, 5
"""Wire types, by their numbers in the encoding of Protocol Buffers."""
_VARINT_BYTES_MAX: Final = 10
"""64 bits, seven to a byte."""
_NUMBER_MAX: Final = 2**29 - 1
"""The greatest number that a field may have."""
_DOUBLE: Final = Struct("<d")


class MalformedProtobuf(DescribedError):
    """These bytes are no message; says why."""


def varint(number: int) -> bytes:
    """*number* in base 128, as unsigned; a negative one in the two's complement of 64 bits."""
    if 0 <= number < 0x80:
        return bytes((number,))
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at *at*, and where it ends. Raises `MalformedProtobuf`."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1  # as nearly all are
    number = shift = 0
    for index in range(at, min(at + _VARINT_BYTES_MAX, len(data))):
        byte = data[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >> 64:
                break
            return number, index + 1
        shift += 7
    raise MalformedProtobuf("a number is cut off, or has more than 64 bits")


def read_fields(data: bytes, fields_max: int) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field in *data*: an int, or bytes.

    Raises `MalformedProtobuf`, also for more than *fields_max* of them.
    """
    at, size = 0, len(data)
    while at < size:
        fields_max -= 1
        if fields_max < 0:
            raise MalformedProtobuf("there are too many fields in one message")
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number <= _NUMBER_MAX:
            raise MalformedProtobuf(f"there is no field {number}")
        if wire == VARINT:
            value, at = read_varint(data, at)
            yield number, wire, value
            continue
        if wire == LEN:
            length, at = read_varint(data, at)
        elif wire in (I64, I32):
            length = 8 if wire == I64 else 4
        else:
            raise MalformedProtobuf(f"the wire type {wire} is not read")
        if length > size - at:
            raise MalformedProtobuf(f"field {number} is cut off")
        yield number, wire, data[at : at + length]
        at += length


@dataclass(frozen=True, slots=True)
class Scalar:
    """A type of values: its *name* in a `.proto` file, and how a value is written and read.

    *zero* is not written, unless the field is optional; it is read where there is nothing.
    """

    name: str
    wire: int
    zero: Any
    write: Callable[[Any], bytes]
    read: Callable[[Any], Any]


def _measured(data: bytes) -> bytes:
    return varint(len(data)) + data


def _read_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedProtobuf("text is UTF-8") from None


def _write_json(value: Any) -> bytes:
    is_raw = isinstance(value, msgspec.Raw)
    return _measured(bytes(value) if is_raw else msgspec.json.encode(value))


def _signed(number: int) -> int:
    """The number that these 64 bits are in two's complement."""
    return number - (1 << 64) if number >> 63 else number


TEXT: Final = Scalar("string", LEN, "", lambda text: _measured(text.encode()), _read_text)
BOOL: Final = Scalar("bool", VARINT, False, varint, bool)
UINT32: Final = Scalar("uint32", VARINT, 0, varint, int)
UINT64: Final = Scalar("uint64", VARINT, 0, varint, int)
DOUBLE: Final = Scalar("double", I64, 0.0, _DOUBLE.pack, lambda data: _DOUBLE.unpack(data)[0])
JSON: Final = Scalar("bytes", LEN, None, _write_json, msgspec.Raw)
"""Any JSON, as its bytes: read, it is a `Raw`, which is looked into by the code that wants it."""
TIME: Final = Scalar(
    "int64",
    VARINT,
    to_rfc3339(0),
    lambda text: varint(parse_instant(text)),
    lambda number: to_rfc3339(_signed(number)),
)
"""RFC 3339 in JSON, Unix milliseconds here."""


class Enumeration:
    """A kind whose values are *words*; they are numbered from 1, and 0 is none of them."""

    def __init__(self, name: str, *words: str) -> None:
        self.name: Final = name
        self.numbers: Final[Mapping[str, int]] = {word: n for n, word in enumerate(words, 1)}
        self._words: Final = dict(enumerate(words, 1))

    def kind(self) -> Scalar:
        """The kind; an unknown number is read as its digits, which are no word."""
        read = self._words.get
        return Scalar(
            self.name,
            VARINT,
            "",
            lambda word: varint(self.numbers[word]),
            lambda number: read(number, str(number)),
        )


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message. An *optional* one may be absent, which is `None`."""

    number: int
    name: str
    kind: Scalar | Message
    is_optional: bool = False
    is_repeated: bool = False
    tag: bytes = field(init=False)
    wire: int = field(init=False)

    def __post_init__(self) -> None:
        wire = self.kind.wire if isinstance(self.kind, Scalar) else LEN
        object.__setattr__(self, "wire", wire)
        object.__setattr__(self, "tag", varint(self.number << 3 | wire))

    def write(self, value: Any) -> bytes:
        """The field with *value*; nothing for a zero that need not be there."""
        if self.is_repeated:
            return b"".join(self._tagged(each) for each in value)
        if not self.is_optional and isinstance(self.kind, Scalar) and value == self.kind.zero:
            return b""
        return self._tagged(value)

    def read(self, values: list[Any]) -> Any:
        """The value of the field, which was found with these *values*, in order.

        Of several the last counts; messages become one, by the rule that the bytes of two behind
        each other are the two merged.
        """
        if isinstance(self.kind, Message):
            return self.kind.decode(values[0] if len(values) == 1 else b"".join(values))
        if self.is_repeated:
            return list(map(self.kind.read, values))
        return self.kind.read(values[-1])

    def absent(self) -> Any:
        """The value that a field has if it is not there."""
        is_said = isinstance(self.kind, Scalar) and not (self.is_optional or self.is_repeated)
        return self.kind.zero if is_said and isinstance(self.kind, Scalar) else None

    def _tagged(self, value: Any) -> bytes:
        if isinstance(self.kind, Message):
            return self.tag + _measured(self.kind.encode(value))
        return self.tag + self.kind.write(value)


class Message:
    """A type of messages. A message of *is_choice* has exactly one of its fields, a message that
    is named in the `type` of the value, as the frames of JSON are."""

    def __init__(
        self, name: str, *fields: Field, fields_max: int = 64, is_choice: bool = False
    ) -> None:
        self.name: Final = name
        self.fields: Final = fields
        self.is_choice: Final = is_choice
        self._fields_max = fields_max
        self._by_number = {each.number: each for each in fields}

    def encode(self, value: Any) -> bytes:
        """The bytes of *value*, a dict or a struct; fields are in the order of the table."""
        is_dict = isinstance(value, dict)
        parts = []
        for each in self.fields:
            said = value.get(each.name) if is_dict else getattr(value, each.name, None)
            if said is not None:
                parts.append(each.write(said))
        return b"".join(parts)

    def decode(self, data: bytes) -> dict[str, Any]:
        """The value of *data*, with each field of the table. Raises `MalformedProtobuf`.

        A field that is not in the table is passed over, or of another wire type: it is of a later
        release, as the language has it.
        """
        found: dict[int, list[Any]] = {}
        for number, wire, value in read_fields(data, self._fields_max):
            known = self._by_number.get(number)
            if known is not None and known.wire == wire:
                if self.is_choice and number not in found:
                    found.clear()  # of a choice, the last one is meant
                found.setdefault(number, []).append(value)
        if self.is_choice:
            return self._chosen(found)
        return {
            each.name: each.read(found[each.number]) if each.number in found else each.absent()
            for each in self.fields
        }

    def _chosen(self, found: dict[int, list[Any]]) -> dict[str, Any]:
        if not found:
            raise MalformedProtobuf("it has none of the frames that are known")
        [(number, values)] = found.items()
        chosen = self._by_number[number]
        return {"type": chosen.name, **chosen.read(values)}
