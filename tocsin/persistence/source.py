"""The source's port: a place in a broker from which a connector takes messages.

A *source* is one connection to a broker. It is open for as long as its block, in which `take` gives
batches in the broker's order. The broker keeps a batch until the connector has said `done`; it
delivers the batch again if the connector, or its node, dies before that. So each message is taken
at least once. A message has a key by which the store knows it again.

A source does not repair itself. It raises, and the connector opens another one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import msgspec

from tocsin.protocol.errors import DescribedError

HEADERS_MAX: Final = 16
"""Headers of a message that are read: the ones that mean something are three."""
HEADER_BYTES_MAX: Final = 1024
"""Characters of a header's name, and of its value."""
_HEADERS_SEEN_MAX: Final = 256
"""Headers that are looked at: a later one of the same name counts, and a message may have any
number."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class SourceAway(DescribedError):
    """The broker cannot be reached, or the connection to it has ended. Try again later."""


class SourceElsewhere(SourceAway):
    """Another node takes from this source, which gives its messages to one node at a time."""


class SourceRefused(DescribedError):
    """The broker does not let us take: wrong credentials, a queue that is missing, a record that
    cannot be read. An operator has to mend it.
    """


class BrokerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a broker gave it.

    *place* names it for people, such as `orders/0/17`. *key* is the same each time that the broker
    delivers the message, or `None` if the broker has no name for it. *at* is the broker's time
    (Unix ms), *token* what the source itself knows the message by. The names of *headers* are in
    lower case.
    """

    place: str
    key: str | None
    body: bytes
    token: Any
    headers: Mapping[str, str] = {}
    correlation: str | None = None
    at: int | None = None


class Source(Protocol):
    """One connection to a broker. Methods that wait raise `SourceAway` and `SourceRefused`.

    One task calls `take`, `done`, `hold` and `skip`; another may call `alive` and `lag` meanwhile.
    If `take` is cancelled, the broker delivers again what was on its way.
    """

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        """At most *limit* messages, in order; none after *wait* seconds without any."""

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        """Tell the broker that the batch *taken*, all that `take` gave last, is durable here."""

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        """Tell the broker that *taken*, which may be empty, is still being worked on.

        To be called each second or so while nothing is taken: it keeps the membership in a group,
        and messages from being delivered to another node.
        """

    async def skip(self, place: str) -> None:
        """Pass over the message at *place*, which cannot be read. Raises `ValueError` if this kind
        of source has no such places, or *place* is none of them.
        """

    def alive(self) -> str | None:
        """The reason why this source will never give anything any more; `None` if it may."""

    async def lag(self) -> int | None:
        """The number of messages that wait in the broker, as that counts; `None` if unknown."""


Connect = Callable[[], AbstractAsyncContextManager[Source]]
"""Opens a source for the length of a block. Opening raises `SourceAway` and `SourceRefused`;
`SourceElsewhere` if an ordered source is taken from by another node."""


def key_of(*parts: object) -> str:
    """An idempotency key made of *parts*; their digest if they are too long or unprintable."""
    text = "/".join(map(str, parts))
    if _KEY.fullmatch(text):
        return text
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def read_headers(pairs: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Headers of whatever types a producer has chosen, as texts by their names in lower case.

    The last header of a name counts. Those beyond `HEADERS_MAX`, those that are too long and those
    that are no text are left out: a message is not refused for a header that nobody reads.
    """
    headers: dict[str, str] = {}
    for _, (name, value) in zip(range(_HEADERS_SEEN_MAX), pairs, strict=False):
        key, text = _text(name), _text(value)
        if key is None or text is None:
            continue
        if key.lower() in headers or len(headers) < HEADERS_MAX:
            headers[key.lower()] = text
    return headers


def _text(value: object) -> str | None:
    if isinstance(value, bytes | bytearray):
        if len(value) > HEADER_BYTES_MAX:
            return None
        value = bytes(value).decode(errors="replace")
    if isinstance(value, bool | int | float):
        value = str(value)
    if not isinstance(value, str) or len(value) > HEADER_BYTES_MAX:
        return None
    return value
