"""The codecs of a WebSocket: its subprotocol, as functions between frames and bytes.

A session does not know how its frames are written. The codec is chosen with the handshake, and
stays. It is a record of functions, not a class with methods, so that a push costs no call more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

import msgspec

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.push import Push
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.wire_frames import binary_frame, close_frame, text_frame


class Codec(msgspec.Struct, frozen=True):
    """*read* raises `frames.MalformedFrame`; *wrapped* makes a message of a frame's bytes."""

    is_binary: bool
    read: Callable[[str | bytes], frames.ClientFrame]
    wrapped: Callable[[bytes], bytes]
    push: Callable[[Push], bytes]
    say: Callable[[frames.ServerFrame], bytes]
    pong: bytes

    def decode(self, message: str | bytes) -> frames.ClientFrame:
        """One frame of a client; raises `Ended` for what is none."""
        try:
            return self.read(message)
        except frames.MalformedFrame as error:
            raise Ended(Closing.MALFORMED, str(error)) from None

    def farewell(self, closing: Closing, after: float = 0.0, detail: str = "") -> bytes:
        """The goodbye frame, and the close frame with the same code behind it."""
        goodbye = self.say(frames.goodbye_of(closing, after, detail))
        return self.wrapped(goodbye) + close_frame(closing, closing.word)


JSON: Final = Codec(
    is_binary=False,
    read=frames.decode_client_frame,  # type: ignore[arg-type]  # its messages are text
    wrapped=text_frame,
    push=frames.encode_push,
    say=frames.encode_server_frame,
    pong=frames.PONG,
)


def codec_of(subprotocol: str | None) -> Codec:
    """The codec of the *subprotocol* that was agreed on; JSON if it is none."""
    return _protobuf() if subprotocol == frames.SUBPROTOCOL_PROTOBUF else JSON


@cache
def _protobuf() -> Codec:
    # Imported here: a node that nobody asks for it does without.
    from tocsin.protocol.frames import protobuf as frames_protobuf

    return Codec(
        is_binary=True,
        read=frames_protobuf.decode_client_frame,  # type: ignore[arg-type]  # of bytes
        wrapped=binary_frame,
        push=frames_protobuf.encode_push,
        say=frames_protobuf.encode_server_frame,
        pong=frames_protobuf.PONG,
    )
