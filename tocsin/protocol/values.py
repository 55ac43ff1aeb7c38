"""Small values: identifiers, times, UUIDs.

Wall time is an `int` of milliseconds since the Unix epoch wherever a name ends in `_at`;
RFC 3339 text exists only on the wire. Deadlines of live sessions are monotonic seconds (`float`),
because a wall clock that is set back must not silence a resend.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

IDENTIFIER_PATTERN = r"^[A-Za-z0-9._:@-]{1,128}$"
"""Device ids and topics."""

CATEGORY_PATTERN = r"^[a-z0-9._-]{1,64}$"

_IDENTIFIER = re.compile(IDENTIFIER_PATTERN)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_VERSION = 0x7000_8000_000000000000
"""The version, 7, and the variant of RFC 9562 in the last 80 bits of a UUID."""
_UUID_RANDOM = 0x0FFF_3FFF_FFFFFFFFFFFF
"""Those of these bits that are random: all the others."""
_UNNAMED = "device-"
EARLIEST = -62_135_596_800_000
"""The beginning of the year 1, the first time that `to_rfc3339` can write, in Unix milliseconds."""
LATEST = 253_402_300_799_999
"""The end of the year 9999 in UTC, the last that RFC 3339 can write."""
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_identifier(text: str) -> bool:
    """Whether *text* may name a device or a topic."""
    # `$` also matches before a trailing newline; fullmatch does not.
    return _IDENTIFIER.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Whether *text* is a UUID in the one spelling we write: lower case, with hyphens."""
    return _UUID.fullmatch(text) is not None


def uuid7(now_ms: int, entropy: bytes) -> str:
    """A UUIDv7 (RFC 9562 §5.7) from *now_ms* and ten bytes of *entropy*.

    Ids made later sort later, so the primary-key index grows at one end. Raises `ValueError` for
    another number of bytes.
    """
    if len(entropy) != 10:
        raise ValueError(f"uuid7 needs 10 bytes of entropy, got {len(entropy)}")
    # All of it as one number is written in a third of the time that its five parts take.
    random = int.from_bytes(entropy) & _UUID_RANDOM
    text = f"{(now_ms & 0xFFFFFFFFFFFF) << 80 | _UUID_VERSION | random:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def unnamed_device(now_ms: int, entropy: bytes) -> str:
    """A name for a device that has none; the parameters are those of `uuid7`."""
    return _UNNAMED + uuid7(now_ms, entropy)


def is_unnamed_device(device: str) -> bool:
    """Whether *device* is a name that `unnamed_device` makes; `devices_forget` knows them, too."""
    return device.startswith(_UNNAMED) and is_uuid(device.removeprefix(_UNNAMED))


class Uuid7s:
    """Makes UUIDv7s that sort in the order in which they were made, also within a millisecond.

    Instead of twelve random bits there is a counter, which starts anew each millisecond (RFC 9562
    §6.2, method 1). Where it runs out, or the clock goes back, the last time goes on being used.
    """

    def __init__(self) -> None:
        self._at = -1
        self._count = 0

    def make(self, now_ms: int, entropy: bytes) -> str:
        """The next one, from *now_ms* and ten bytes of *entropy*."""
        if now_ms > self._at:
            # Half of the room, so that there is a half to count in.
            self._at, self._count = now_ms, int.from_bytes(entropy[:2]) & 0x07FF
        else:
            self._count += 1
            if self._count > 0x0FFF:
                self._at, self._count = self._at + 1, 0
        return uuid7(self._at, self._count.to_bytes(2) + entropy[2:])


# A group commit and a fan-out ask for one millisecond many times.
@lru_cache(maxsize=256)
def to_rfc3339(at: int) -> str:
    """*at* (Unix milliseconds) as RFC 3339 UTC text with milliseconds."""
    # timedelta keeps integers exact; dividing by 1000.0 loses milliseconds to rounding.
    text = (_UNIX_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def from_datetime(value: datetime) -> int:
    """An aware *value* as Unix milliseconds; raises `ValueError` for a naive one."""
    if value.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z")
    return (value - _UNIX_EPOCH) // timedelta(milliseconds=1)
