"""Telling an EventSource that it cannot be served now, in the way that it can hear.

Any status but 200 ends a native EventSource for good (HTML Living Standard §9.2.3). So what will
pass (a node that is full or stops, a store that is away) is said on a stream: a `goodbye` and
nothing else, with the `retry` after which the client comes back. A refusal that will not pass, such
as a credential that is none, stays a problem with its status: there coming back is of no use.
"""

from __future__ import annotations

from typing import Final

from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refusal
from tocsin.server.follow.sse_events import goodbye

STREAM_PATH: Final = "/v1/inbox/stream"
UNKEPT: Final = (
    ("Cache-Control", "no-store"),
    # nginx would gather events into blocks.
    ("X-Accel-Buffering", "no"),
)
"""The headers that have every event of a stream handed on at once, and none of them kept."""
STREAM_HEADERS: Final = (("Content-Type", "text/event-stream"), *UNKEPT)
"""The headers of every stream."""


def stream_goodbye(closing: Closing, after: float, detail: str = "") -> bytes:
    """The whole body of a stream that is not to be; *after* in seconds.

    It is sent with status 200 and `STREAM_HEADERS`.
    """
    return goodbye(closing, after, detail)


def instead_of_problem(refusal: Refusal, *, stopping: bool, random: float) -> bytes | None:
    """The body of the stream that is answered instead of a problem; `None` if that stays.

    *random* in [0, 1) keeps apart the clients that are refused together. *stopping* says that the
    node is.
    """
    closing = refusal.closing
    if not closing.reconnect:
        return None
    if closing is Closing.OVERLOADED and stopping:
        closing = Closing.DRAINING
    return stream_goodbye(closing, refusal.after * (1.0 + random), refusal.detail)
