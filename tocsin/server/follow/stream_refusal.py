"""Telling an EventSource that it cannot be served now, in the way that it can hear.

Any status but 200 ends a native EventSource for good (HTML Living Standard §9.2.3). So what will
pass (a node that is full or stops, a store that is away) is said on a stream: a `goodbye` and
nothing else, with the `retry` after which the client comes back. What will not pass, such as a
credential that is none, stays a problem with its status: there coming back is of no use.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.protocol.closing import Closing
from tocsin.server.attachment import RETRY_AFTER
from tocsin.server.follow.sse_events import goodbye

STREAM_PATH: Final = "/v1/inbox/stream"
STREAM_HEADERS: Final = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store"),
    # nginx would gather events into blocks.
    ("X-Accel-Buffering", "no"),
)
"""What a stream has, whatever is on it."""


class _Said(msgspec.Struct):
    code: str
    detail: str


def stream_goodbye(closing: Closing, after: float, detail: str = "") -> bytes:
    """The whole body of a stream that is not to be; *after* in seconds.

    It is sent with status 200 and `STREAM_HEADERS`.
    """
    return goodbye(closing, after, detail)


def passing(status: int, code: str) -> Closing | None:
    """Why a stream ends that is refused with *status* and *code*; `None` if that will not pass."""
    match status:
        case 429:
            return Closing.RATE_LIMITED
        case 500:
            return Closing.INTERNAL_ERROR
        case 503:
            return Closing.OVERLOADED if code == "overloaded" else Closing.STORE_UNAVAILABLE
        case _:
            return None


def instead_of_problem(
    status: int, problem: bytes, retry_after: float | None, *, stopping: bool, random: float
) -> bytes | None:
    """The body of the stream that is answered instead of *problem*; `None` if that stays.

    *retry_after* in seconds; *random* in [0, 1) keeps apart who is refused together. *stopping*
    says that the node is.
    """
    if status < 400:
        return None
    said = msgspec.json.decode(problem, type=_Said)
    closing = passing(status, said.code)
    if closing is None:
        return None
    if closing is Closing.OVERLOADED and stopping:
        closing = Closing.DRAINING
    after = (RETRY_AFTER if retry_after is None else retry_after) * (1.0 + random)
    return stream_goodbye(closing, after, said.detail)
