"""The frames of the WebSocket, and their JSON.

Frames from clients are decoded and validated in one pass; a frame that is not exactly what the
contract says is refused whole. Frames to clients are written by hand where they are many (`push`
splices the notification's prepared JSON), and from structs where they are few.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tocsin.protocol.closing import Closing
from tocsin.protocol.errors import ProtocolError
from tocsin.protocol.log.push import Push
from tocsin.protocol.notifications.notification import DeviceId
from tocsin.protocol.problems import Problem
from tocsin.protocol.repeated_keys import repeated_key
from tocsin.protocol.values import is_uuid

SUBPROTOCOL_JSON: Final = "tocsin.v1.json"
SUBPROTOCOL_PROTOBUF: Final = "tocsin.v1.protobuf"
SUBPROTOCOLS: Final = (SUBPROTOCOL_JSON, SUBPROTOCOL_PROTOBUF)
SEQUENCE_MAX: Final = 2**53
"""The greatest sequence: the last whole number that JavaScript can count to."""
ACK_IDS_MAX: Final = 1024
"""Ids in one `ack` or `mark`: as many as a window has pushes."""
WINDOW_MAX: Final = 1024
"""Unacknowledged pushes that a device may ask for: a window is memory of the node."""
NACK_AFTER_MAX: Final = 3600.0
"""Seconds that a device may put off a push: an hour of silence is a device that is away."""
DETAIL_MAX: Final = 256
"""Characters of a goodbye's detail: a sentence for a developer."""
_NAME_SHOWN: Final = 100
"""Characters of a client's field name that are repeated to it; the rest tells nothing more."""

Sequence = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
RequestId = Annotated[str, Meta(min_length=1, max_length=128)] | int
Ids = Annotated[list[str], Meta(min_length=1, max_length=ACK_IDS_MAX)]


class MalformedFrame(ProtocolError):
    """The client sent something that is no frame of ours; says what is wrong with it."""


class _ClientFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Tagged by `type`; an unknown field is refused, so that typing errors are seen."""


class Hello(_ClientFrame, frozen=True, tag="hello"):
    """The first frame: the device's name, and the cursor from which it wants to go on."""

    device: DeviceId | None = None
    cursor: Annotated[str, Meta(max_length=64)] | None = None
    token: Annotated[str, Meta(max_length=8192)] | None = None
    window: (
        Annotated[int, Meta(ge=1, le=WINDOW_MAX, description="Pushes unacknowledged at a time.")]
        | None
    ) = None
    client: Annotated[str, Meta(max_length=256)] | None = None


class Ack(_ClientFrame, frozen=True, tag="ack"):
    """Received and processed: everything up to *sequence*, or just these *ids*."""

    sequence: Sequence | None = None
    ids: Ids | None = None


class Nack(_ClientFrame, frozen=True, tag="nack"):
    """Could not process *id*; try again *after* seconds."""

    id: str
    reason: Annotated[str, Meta(max_length=256)] | None = None
    after: Annotated[float, Meta(ge=0, le=NACK_AFTER_MAX)] | None = None


class Mark(_ClientFrame, frozen=True, tag="mark"):
    """Change the state of notifications."""

    request: RequestId
    state: Literal["seen", "read", "unread", "archived"]
    ids: Ids | None = None
    through: Annotated[str, Meta(max_length=64)] | None = None
    all: bool = False


class Publish(_ClientFrame, frozen=True, tag="publish"):
    """Post *notification* as over HTTP; it is validated as a request, so its faults are replied."""

    request: RequestId
    notification: msgspec.Raw
    idempotency_key: str | None = None
    traceparent: str | None = None


class Refresh(_ClientFrame, frozen=True, tag="refresh"):
    """A newer token for this connection."""

    token: Annotated[str, Meta(max_length=8192)]
    request: RequestId | None = None


class Ping(_ClientFrame, frozen=True, tag="ping"):
    """Asks for a `pong`: for clients that cannot see WebSocket pings, such as browsers."""


ClientFrame = Hello | Ack | Nack | Mark | Publish | Refresh | Ping
_decoder: Final = msgspec.json.Decoder(ClientFrame)


def _refuse_repeated_keys(frame: ClientFrame, text: str) -> None:
    """Raise `MalformedFrame` for a key that is there twice.

    The content of a `Raw` is left out. It is checked where it is read, and answered there.
    """
    if isinstance(frame, Ack) and text.count(":") == 2:
        # As nearly all are: its type and what it acknowledges.
        return
    data = text.encode()
    if isinstance(frame, Publish):
        data = data.replace(bytes(frame.notification), b"0", 1)
    if (key := repeated_key(data)) is not None:
        raise MalformedFrame(f"the field `{key[:_NAME_SHOWN]}` is there more than once")


def decode_client_frame(text: str) -> ClientFrame:
    """Read one frame; raises `MalformedFrame`."""
    try:
        frame: ClientFrame = _decoder.decode(text)
        _refuse_repeated_keys(frame, text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        # A ValidationError is a DecodeError. It quotes names of types and fields, and the value
        # only where a word was expected (`type`, `state`): never a token.
        raise MalformedFrame(str(error)[:200]) from None
    return checked(frame)


def checked(frame: ClientFrame) -> ClientFrame:
    """*frame*, if it says what its type alone does not; raises `MalformedFrame`."""
    if isinstance(frame, Ack):
        if (frame.sequence is None) == (frame.ids is None):
            raise MalformedFrame("ack: give `sequence` or `ids`, one of the two")
        if frame.ids is not None and not all(map(is_uuid, frame.ids)):
            raise MalformedFrame("ack: `ids` are notification ids")
    elif isinstance(frame, Nack) and not is_uuid(frame.id):
        raise MalformedFrame("nack: `id` is a notification id")
    return frame


# --- Server to client ---------------------------------------------------------------------------


class Resend(msgspec.Struct, frozen=True):
    """Seconds until a push that is not acknowledged is sent again, and how often it is sent."""

    delay: float
    limit: int


class Welcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    """The session as the server set it up; *heartbeat* in seconds."""

    user: str
    device: str
    connection: str
    node: str
    epoch: str
    cursor: str
    head: int
    unread: int
    unseen: int
    resumed: bool
    heartbeat: float
    window: int
    resend: Resend


class ProducerWelcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    """The welcome of a connection that has no inbox: an API key, which may only publish."""

    connection: str
    node: str
    user: None = None
    device: None = None


class Synced(msgspec.Struct, frozen=True, tag_field="type", tag="synced"):
    """All entries that waited have been pushed: live from here."""

    sequence: int


class Counters(msgspec.Struct, frozen=True, tag_field="type", tag="counters"):
    """The counters after an expiry, which no push carries."""

    unread: int
    unseen: int


class Reset(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    """Drop local state: a replay from the start follows. *reason* is `epoch` or `horizon`."""

    reason: str


class Status(msgspec.Struct, frozen=True, tag_field="type", tag="status"):
    """Whether the hops behind this connection work; each is `ok` or `lost`."""

    bus: str
    store: str


class Reply(msgspec.Struct, frozen=True, tag_field="type", tag="reply", omit_defaults=True):
    """The answer to the frame with this *request*: a *result* if *ok*, else a *problem*."""

    request: str | int
    ok: bool
    result: Any = None
    problem: Problem | None = None


class Goodbye(msgspec.Struct, frozen=True, tag_field="type", tag="goodbye", omit_defaults=True):
    """The last frame; *after* is in seconds, and means something where *reconnect* is true.

    *detail* says what was wrong, for the client's developer; programs go by *code*.
    """

    code: int
    reason: str
    reconnect: bool
    after: float
    detail: Annotated[str, Meta(max_length=DETAIL_MAX)] = ""


ServerFrame = Welcome | ProducerWelcome | Synced | Counters | Reset | Status | Reply | Goodbye
PONG: Final = b'{"type":"pong"}'

encode_server_frame: Final = msgspec.json.Encoder().encode


def goodbye_of(closing: Closing, after: float, detail: str = "") -> Goodbye:
    """The goodbye for *closing*, with a delay of *after* seconds, and the fault in *detail*.

    *detail* is cut to `DETAIL_MAX`. Half a character (a lone surrogate), which a library's message
    about the client's text may contain, is replaced.
    """
    detail = detail[:DETAIL_MAX].encode(errors="replace").decode()
    return Goodbye(int(closing), closing.word, closing.reconnect, round(after, 3), detail)


def encode_goodbye(closing: Closing, after: float, detail: str = "") -> bytes:
    """The JSON of `goodbye_of`."""
    return encode_server_frame(goodbye_of(closing, after, detail))


_PUSH: Final = (
    b'{"type":"push","sequence":%d,"previous":%d,"change":"%b","attempt":%d,"replay":%b,'
    b'"unread":%d,"unseen":%d,"notification":%b}'
)


def encode_push(push: Push) -> bytes:
    """The frame of *push*, which carries its notification as JSON already."""
    return _PUSH % (
        push.sequence,
        push.previous,
        push.change.encode(),
        push.attempt,
        b"true" if push.replay else b"false",
        push.unread,
        push.unseen,
        push.notification,
    )
