"""What the nodes of a cluster say to one another, and how it is written.

An envelope only ever saves its hearers a read or wakes them to make one; the truth is in the store.
So it may be lost, come twice or come late, and one that cannot be read, from a newer release, is
passed over.

    u:<user>    to the nodes that have the user online: what is new in the user's log
    t:<topic>   to the nodes that have somebody of the topic online: it has a new entry
    c           to all nodes

A change goes to each of its users in an envelope of their own. What is the same for all of them is
written once (`SharedPart`) and spliced into each, and a hearer knows it again by its bytes.

On the wire: one byte that says whether the speaker itself heeds its envelope when it comes back,
one for the length of the speaker's name, the name, and the envelope in MessagePack. So a node
passes over its own words by a look at their beginning.
"""

from __future__ import annotations

from typing import Final

import msgspec

CONTROL: Final = "c"
_USER: Final = "u:"
_TOPIC: Final = "t:"


def user_channel(user: str) -> str:
    """Where the nodes are told of *user*'s log."""
    return _USER + user


def topic_channel(topic: str) -> str:
    """Where the nodes are told of *topic*'s log."""
    return _TOPIC + topic


def channel_user(channel: str) -> str | None:
    """The user of whose log is told on *channel*, if it is such a one."""
    return channel[len(_USER) :] if channel.startswith(_USER) else None


def channel_topic(channel: str) -> str | None:
    """The topic of which is told on *channel*, if it is such a one."""
    return channel[len(_TOPIC) :] if channel.startswith(_TOPIC) else None


class SharedPart(msgspec.Struct, frozen=True, array_like=True):
    """What a change is for all its recipients; *expires_at* in Unix milliseconds."""

    notification: str
    change: str
    document: str
    expires_at: int | None


class LogChange(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """On `u:`: the user's log has this entry, whole. *shared* is an encoded `SharedPart`.

    *state*, with its times, is the recipient's own where it is not that of everybody.
    """

    sequence: int
    unread: int
    unseen: int
    shared: msgspec.Raw
    state: str | None = None
    seen_at: int | None = None
    read_at: int | None = None


class LogHead(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """On `u:`: the user's log has reached *head*; what is new there is in the store."""

    head: int


class TopicAdvanced(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """On `t:`: the topic's log has a new entry."""


class Joined(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """On `u:`: the user is in *topic* from now on."""

    topic: str


class DeviceArrived(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """On `u:`: *device* is connected by *connection* of this node, when the log had *head*.

    All nodes hear these in the same order, the speaker too; of two with the same device the last
    holds. *said_at* is in seconds of the speaker's own clock: it tells how late its own words came
    back, and nobody else anything.
    """

    device: str
    connection: str
    head: int
    said_at: float


class DeviceHere(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """On `u:`: *device* has been connected here *since*, says one who missed something.

    Both times are in seconds of the speaker's own clock, of which its signs of life tell (`Alive`).
    """

    device: str
    connection: str
    since: float
    said_at: float


class DeviceAcknowledged(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """On `u:`: the store has noted that *device* has everything *through* a sequence, or *ids*.

    That was before *said_at*, by the speaker's clock.
    """

    device: str
    through: int | None
    ids: tuple[str, ...]
    said_at: float


class DeviceGone(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    """On `u:`: the store has forgotten *device*."""

    device: str


class DisconnectUser(msgspec.Struct, frozen=True, array_like=True, tag=8, gc=False):
    """On `c`: end all connections of *user*."""

    user: str


class Alive(msgspec.Struct, frozen=True, array_like=True, tag=9, gc=False):
    """On `c`: the canary. *said_at* as in `DeviceArrived`."""

    said_at: float


class Leaving(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    """On `c`: this node stops in order; its silence from now on means nothing."""


class Spooling(msgspec.Struct, frozen=True, array_like=True, tag=11, gc=False):
    """On `c`: something waits in the spool since *run* began; who knows it is to say so."""

    run: str


class SpoolingHeard(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    """On `c`: from here nothing goes to the store before what waits in the spool since *run*."""

    run: str


Envelope = (
    LogChange
    | LogHead
    | TopicAdvanced
    | Joined
    | DeviceArrived
    | DeviceHere
    | DeviceAcknowledged
    | DeviceGone
    | DisconnectUser
    | Alive
    | Leaving
    | Spooling
    | SpoolingHeard
)

_ECHOED: Final = (Alive, DeviceArrived, DeviceHere, Spooling)
"""What a node wants to hear from itself as well."""

encode_shared: Final = msgspec.msgpack.Encoder().encode
_decode_shared: Final = msgspec.msgpack.Decoder(SharedPart).decode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Envelope).decode


class Unreadable(ValueError):
    """These bytes are no envelope that this release knows."""


class Voice:
    """Writes envelopes in the name of *node* (at most 128 characters of ASCII)."""

    __slots__ = ("_echoed", "_plain")

    def __init__(self, node: str) -> None:
        name = node.encode()
        self._plain = bytes((0, len(name))) + name
        self._echoed = bytes((1, len(name))) + name

    def write(self, envelope: Envelope) -> bytes:
        """*envelope* as it goes over the bus."""
        head = self._echoed if isinstance(envelope, _ECHOED) else self._plain
        return head + _encode(envelope)

    def is_own(self, payload: bytes) -> bool:
        """Whether *payload* is of this node, and not for it."""
        return payload.startswith(self._plain)


def read_envelope(payload: bytes) -> tuple[str, Envelope]:
    """The speaker's name, and what it said; raises `Unreadable`."""
    try:
        end = 2 + payload[1]
        return payload[2:end].decode(), _decode(memoryview(payload)[end:])
    except (IndexError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise Unreadable(str(error)) from None


def read_shared(shared: bytes) -> SharedPart:
    """What `encode_shared` wrote; raises `Unreadable`."""
    try:
        return _decode_shared(shared)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None
