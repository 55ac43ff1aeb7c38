"""The messages between the nodes of a cluster, and how they are written.

An envelope only ever saves the receiving node a read or wakes it to make one; the truth is in the
store. So it may be lost, come twice or come late, and one that cannot be read, from a newer
release, is passed over.

    u:<user>    to the nodes that have the user online: what is new in the user's log
    t:<topic>   to the nodes that have somebody of the topic online: it has a new entry
    c           to all nodes
    s           to the nodes at which operators look on

A change goes to each of its users in an envelope of their own. The part that is the same for all of
them is written once (`SharedPart`) and spliced into each, and the receiving node recognises it by
its bytes.

On the wire:

    1 byte          whether the speaker itself heeds its envelope when it comes back
    1 byte          the length of the speaker's name, and the name
    1 byte          0xC1, which MessagePack never uses: an older release finds it unreadable
    7 bytes         the speaker's incarnation, drawn by chance when it started
    1 byte          the lane: signs of life go past what waits to be said
    8 bytes         the stamp: the speaker's time of day in microseconds, and more than its last one
    …               the envelope in MessagePack
    16 bytes        the seal of all this and of the channel

So a node passes over its own envelopes by a look at their beginning.

Redis keeps the envelopes of a node in order, so on one lane of one incarnation each stamp is higher
than those before; an envelope whose stamp is not was published before and is repeated by someone
else. A node that did not receive it the first time knows from the speaker's signs of life that it
is more than `LAG_MAX` behind. From a node that has ended, envelopes older than `AGE_MAX` are
ignored. The clocks of nodes may therefore differ by that much: a node that is further off is
ignored by the others.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tocsin.protocol.cluster.seals import SEAL_BYTES, Seal
from tocsin.protocol.cluster.sightings import Onlooking
from tocsin.protocol.errors import ProtocolError
from tocsin.protocol.log.news import SharedPart

AGE_MAX: Final = 3600.0
"""Seconds after which an envelope is ignored: the clocks of nodes may differ by as much."""
LAG_MAX: Final = 30.0
"""Seconds that an envelope may be older than another one received from the same node."""
INCARNATION_BYTES: Final = 7
"""Random bytes: two starts draw the same ones with a chance of 1 in 2**56."""

CONTROL: Final = "c"
_USER: Final = "u:"
_TOPIC: Final = "t:"


def user_channel(user: str) -> str:
    """The channel of changes to *user*'s log."""
    return _USER + user


def topic_channel(topic: str) -> str:
    """The channel of changes to *topic*'s log."""
    return _TOPIC + topic


def channel_user(channel: str) -> str | None:
    """The user whose log *channel* is about, or `None` for another kind of channel."""
    return channel[len(_USER) :] if channel.startswith(_USER) else None


def channel_topic(channel: str) -> str | None:
    """The topic that *channel* is about, or `None` for another kind of channel."""
    return channel[len(_TOPIC) :] if channel.startswith(_TOPIC) else None


class LogChange(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """On `u:`: the user's log has this entry, whole. *shared* is an encoded `SharedPart`.

    *state*, with its times, is the recipient's own where it differs from that of the others. The
    change departed at *departed_at*, in seconds of the speaker's own clock, if that is known;
    *trace* is the `traceparent` of its post, if that is traced.
    """

    sequence: int
    unread: int
    unseen: int
    shared: msgspec.Raw
    state: str | None = None
    seen_at: int | None = None
    read_at: int | None = None
    departed_at: float | None = None
    trace: str | None = None


class LogHead(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """On `u:`: the user's log has reached *head*; the new entries are in the store."""

    head: int


class TopicAdvanced(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """On `t:`: the topic's log has a new entry."""


class Joined(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """On `u:`: the user is in *topic* from now on."""

    topic: str


class DeviceArrived(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """On `u:`: *device* is connected by *connection* of this node, when the log had *head*.

    All nodes receive these in the same order, the speaker too; of two with the same device the last
    holds. *said_at* is in seconds of the speaker's own clock: from it the speaker learns how late
    its own envelopes come back; it means nothing to other nodes.
    """

    device: str
    connection: str
    head: int
    said_at: float


class DeviceHere(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """On `u:`: as `DeviceArrived`, repeated by a node that had missed envelopes.

    *since* and *said_at* are seconds of the speaker's own clock, which `Alive` makes known.
    """

    device: str
    connection: str
    since: float
    said_at: float


class DeviceAcknowledged(msgspec.Struct, frozen=True, array_like=True, tag=16, gc=False):
    """On `u:`: the store has noted that *device* has everything *through* a sequence, or *ids*.

    *session* was the one that the device had open then. (Tag 6 was this with a time instead.)
    """

    device: str
    through: int | None
    ids: tuple[str, ...]
    session: str | None


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
    """On `c`: the spool has entries since *run* began; each node answers `SpoolingHeard`."""

    run: str


class SpoolingHeard(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    """On `c`: this node commits nothing before the entries that wait in the spool since *run*."""

    run: str


class Recount(msgspec.Struct, frozen=True, array_like=True, tag=13, gc=False):
    """On `u:`: a notification of the user has expired, which is no entry of the log."""


class SessionSought(msgspec.Struct, frozen=True, array_like=True, tag=14, gc=False):
    """On `u:`: a device is here whose *session* is open elsewhere; its node is to settle that."""

    session: str


class SessionSettled(msgspec.Struct, frozen=True, array_like=True, tag=15, gc=False):
    """On `u:`: the acknowledgments of *session*, which was here, are in the store."""

    session: str


NewsEnvelope = (
    LogChange | LogHead | Recount | TopicAdvanced | Joined | DeviceAcknowledged | DeviceGone
)
"""News (`protocol.news`) without the user or the topic, which the channel names."""
DeviceEnvelope = DeviceArrived | DeviceHere | SessionSought | SessionSettled
"""Envelopes about the connections of a user's devices, on `u:`."""
Envelope = (
    NewsEnvelope
    | DeviceEnvelope
    | DisconnectUser
    | Alive
    | Leaving
    | Spooling
    | SpoolingHeard
    | Onlooking
)

_ECHOED: Final = (Alive, DeviceArrived, DeviceHere, Spooling)
"""Envelopes that a node handles when its own come back."""

encode_shared: Final = msgspec.msgpack.Encoder().encode
_decode_shared: Final = msgspec.msgpack.Decoder(SharedPart).decode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Envelope).decode


class Unreadable(ProtocolError, ValueError):
    """These bytes are no envelope that this release knows."""


class Distrust(StrEnum):
    """Why an envelope is not heeded."""

    UNSEALED = "unsealed"
    """It has no seal: from an older release, or not from a node at all."""
    FORGED = "forged"
    """The seal is not one of this cluster for this channel, or of another secret."""
    REPEATED = "repeated"
    """It was published before."""
    STALE = "stale"
    """It was published too long ago, or the speaker's clock is wrong."""


class Untrusted(ProtocolError):
    """An envelope is not to be heeded; *why*."""

    def __init__(self, why: Distrust) -> None:
        super().__init__(why)
        self.why = why


_MARK: Final = b"\xc1"
_STAMP_BYTES: Final = 8
"""Bytes: microseconds for half a million years."""
_FROM_NAME: Final = len(_MARK) + INCARNATION_BYTES + 1
_AGE_MAX: Final = round(AGE_MAX * 1_000_000)
_LAG_MAX: Final = round(LAG_MAX * 1_000_000)
_LANES: Final = (0, 1)  # for envelopes, and for signs of life
_LANES_MAX: Final = 2000
"""Lanes whose last stamp is remembered, before those too old to be heeded are forgotten."""


class Voice:
    """Writes envelopes in the name of *node* (at most 128 characters of ASCII).

    *incarnation* is `INCARNATION_BYTES` of chance. The node started at *began_ms* (Unix
    milliseconds), and no stamp is earlier, wherever its clock is set to: it would take its own
    envelopes for those of an earlier process.
    """

    __slots__ = ("_echoed", "_plain", "_pulse", "_seal", "_stamp")

    def __init__(self, node: str, seal: Seal, incarnation: bytes, began_ms: int) -> None:
        name = node.encode()
        self._plain = bytes((0, len(name))) + name + _MARK + incarnation + b"\x00"
        self._echoed = b"\x01" + self._plain[1:]
        self._pulse = self._echoed[:-1] + b"\x01"
        self._seal = seal
        self._stamp = began_ms * 1000

    def write(self, envelope: Envelope) -> bytes:
        """*envelope* as it waits to be published."""
        return (b"\x01" if isinstance(envelope, _ECHOED) else b"\x00") + _encode(envelope)

    def say(self, channel: str, written: bytes, now_ms: int) -> bytes:
        """The envelope that was *written*, as it goes over the bus, on *channel* and now.

        To be published in the order of these calls; raises `KeyUnknown`.
        """
        head = self._echoed if written[0] else self._plain
        return self._sealed(head, channel, written[1:], now_ms)

    def live(self, sign: Alive, now_ms: int) -> bytes:
        """A *sign* of life as it goes over the bus, on `CONTROL`: as `say`, in an order of its own.

        It may overtake envelopes that are written meanwhile, or come after them.
        """
        return self._sealed(self._pulse, CONTROL, _encode(sign), now_ms)

    def is_own(self, payload: bytes) -> bool:
        """Whether *payload* comes from this process and need not be handled by it."""
        return payload.startswith(self._plain)

    def _sealed(self, head: bytes, channel: str, envelope: bytes, now_ms: int) -> bytes:
        self._stamp = max(self._stamp + 1, now_ms * 1000)
        said = head + self._stamp.to_bytes(_STAMP_BYTES) + envelope
        return said + self._seal.of(channel.encode(), said)


class Ear:
    """Reads envelopes from the bus, and accepts those that are new and of this cluster.

    *node* is the receiving node, which started at *began_ms* (Unix milliseconds).
    """

    __slots__ = ("_began", "_lanes", "_node", "_seal")

    def __init__(self, node: str, seal: Seal, began_ms: int) -> None:
        self._node = node
        self._seal = seal
        self._began = began_ms * 1000
        self._lanes: dict[bytes, _Lane] = {}
        """By all that stands before the stamp."""

    def hear(self, channel: str, payload: bytes, now_ms: int) -> tuple[str, Envelope]:
        """The speaker's name, and what it said; raises `Untrusted` or `Unreadable`."""
        if len(payload) < 2:
            raise Untrusted(Distrust.UNSEALED)
        name_end = 2 + payload[1]
        head_end = name_end + _FROM_NAME
        start = head_end + _STAMP_BYTES
        if payload[name_end : name_end + 1] != _MARK or len(payload) < start + SEAL_BYTES:
            raise Untrusted(Distrust.UNSEALED)
        if not self._seal.fits(payload[-SEAL_BYTES:], channel.encode(), payload[:-SEAL_BYTES]):
            raise Untrusted(Distrust.FORGED)
        stamp = int.from_bytes(payload[head_end:start])
        speaker = self._admit(payload[1:head_end], stamp, now_ms * 1000)
        try:
            return speaker, _decode(memoryview(payload)[start:-SEAL_BYTES])
        except msgspec.DecodeError as error:
            raise Unreadable(str(error)) from None

    def _admit(self, head: bytes, stamp: int, now: int) -> str:
        """The speaker's name, if this is new; times in microseconds."""
        lane = self._lanes.get(head) or self._new_lane(head, now)
        if stamp <= lane.said:
            raise Untrusted(Distrust.REPEATED)
        speaker = lane.speaker
        # Two processes of one name are a mistake of today's, or one of them is no more.
        oldest = self._began if speaker.name == self._node else now - _AGE_MAX
        if stamp < oldest or stamp < speaker.latest - _LAG_MAX:
            raise Untrusted(Distrust.STALE)
        lane.said = stamp
        if stamp > speaker.latest:
            speaker.latest = stamp
        return speaker.name

    def _new_lane(self, head: bytes, now: int) -> _Lane:
        if len(self._lanes) >= _LANES_MAX:
            since = now - _AGE_MAX
            kept = {head: each for head, each in self._lanes.items() if each.speaker.latest > since}
            self._lanes = kept
        of_speaker = (self._lanes.get(head[:-1] + bytes((lane,))) for lane in _LANES)
        known = next((each.speaker for each in of_speaker if each is not None), None)
        speaker = known or _Speaker(head[1:-_FROM_NAME].decode(errors="replace"))
        lane = self._lanes[head] = _Lane(speaker)
        return lane


class _Speaker:
    """A process that speaks, by *name*; *latest* is its last stamp (microseconds)."""

    __slots__ = ("latest", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.latest = 0


class _Lane:
    """One of the orders in which a speaker speaks, and its last stamp."""

    __slots__ = ("said", "speaker")

    def __init__(self, speaker: _Speaker) -> None:
        self.speaker = speaker
        self.said = 0


def read_shared(shared: bytes) -> SharedPart:
    """The bytes that `encode_shared` wrote; raises `Unreadable`."""
    try:
        return _decode_shared(shared)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None
