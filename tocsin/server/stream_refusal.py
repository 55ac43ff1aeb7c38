"""Telling an EventSource that it cannot be served now, in the way that it can hear.

Any status but 200 ends a native EventSource for good (HTML Living Standard §9.2.3). So what will
pass (a node that is full or stops, a store that is away) is said on a stream: a `goodbye` and
nothing else, with the `retry` after which the client comes back. What will not pass, such as a
credential that is none, stays a problem with its status: there coming back is of no use.
"""

from __future__ import annotations

from typing import Final

import msgspec
from quart import Quart, Response, request

from tocsin.protocol.closing import Closing
from tocsin.server.attachment import RETRY_AFTER
from tocsin.server.services import Services
from tocsin.server.sse_events import goodbye

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


def is_stream(method: str, path: str) -> bool:
    """Whether what is asked for with *method* at *path* (without its query) is a stream."""
    return method == "GET" and path == STREAM_PATH


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


def register_stream_refusals(app: Quart, services: Services) -> None:
    """Have what refuses a stream of *app*, wherever that was done, said on one if it will pass."""

    @app.after_request
    async def say_on_a_stream(response: Response) -> Response:
        if response.status_code < 400 or not is_stream(request.method, request.path):
            return response
        retry_after = response.headers.get("Retry-After")
        problem = await response.get_data()
        assert isinstance(problem, bytes)
        body = instead_of_problem(
            response.status_code,
            problem,
            None if retry_after is None else float(retry_after),
            stopping=services.readiness.stopping,
            random=services.world.random(),
        )
        if body is not None:
            response.status_code = 200
            response.set_data(body)
            del response.headers["Retry-After"]
            response.headers.update(STREAM_HEADERS)
        return response
