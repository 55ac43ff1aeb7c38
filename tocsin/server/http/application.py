"""The application behind a connection, as the connection asks it, request by request.

In this order, so that nobody learns more than they may, and nothing is read of a body before its
sender is known:

    admit ── has its sender too much already? 429
    find ── which operation is it?            404, 405
    known / identify ── who asks, may they?   401, 403, 503
    (the connection: how much may come?)      413, 415, 429
    answer ── do it                           or the ASGI application does
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from enum import Enum
from typing import Any, Final, Protocol

import msgspec

from tocsin.protocol import retry_after
from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refusal, refusal_for
from tocsin.server.admission.gate import Admission
from tocsin.server.http.response import Lasting, Whole
from tocsin.server.request_head import RequestHead


class Turned(Enum):
    """Why a whole connection is turned away: its one request is answered with that."""

    FULL = "full"
    CROWDED = "crowded"  # its address has as many connections as it may have
    DRAINING = "draining"


TURNED_AWAY: Final[Mapping[Turned, Refusal]] = {
    Turned.FULL: refusal_for(
        Closing.OVERLOADED,
        "This node has as many connections as it may have.",
        retry_after.DOOR_FULL,
    ),
    Turned.CROWDED: refusal_for(
        Closing.RATE_LIMITED,
        "This address has as many connections as it may have.",
        retry_after.DOOR_FULL,
    ),
    Turned.DRAINING: refusal_for(
        Closing.DRAINING, "This node is stopping, or has not started yet."
    ),
}
"""How the whole connection is refused, over HTTP and inside a WebSocket."""


class RequestPlan(msgspec.Struct, frozen=True):
    """The way of a request.

    *lean*: `answer` answers it, else the ASGI application does, which knows it by *path*.
    *streamed*: the handler takes the body in pieces. *lasts*, which only a lean one does: it may
    wait long for what it answers, so a client that goes ends it. *always*: it is answered also
    where others are turned away.
    *operation* and *values* are the application's own.
    """

    body_bytes_max: int
    lean: bool = False
    streamed: bool = False
    lasts: bool = False
    always: bool = False
    path: str = ""
    operation: Any = None
    values: Any = None


class Incoming(msgspec.Struct):
    """One request that was let in; *body* is whole, or comes in pieces where that is the plan."""

    plan: RequestPlan
    head: RequestHead
    principal: Any
    body: bytes | AsyncIterator[bytes]
    request_id: str
    address: str


class About(msgspec.Struct, frozen=True):
    """Which request is refused: of whom, and under which name; *head* where there is one."""

    head: RequestHead | None
    request_id: str
    address: str
    route: str = ""


class Application(Protocol):
    """See the module. An error of `find`, `identify` or `answer` becomes the answer, by
    `refusal`."""

    def address_of(self, peer: str, head: RequestHead) -> str:
        """The client's address: *peer*'s, or the one named by a proxy that is believed."""

    def admit(self, peer: str, head: RequestHead) -> Admission:
        """Count a request of *peer* that begins; each is to be released."""

    def find(self, head: RequestHead) -> RequestPlan | Whole:
        """The way of the request; or at once its answer."""

    def check_websocket(self, head: RequestHead) -> None:
        """Raise, if this well-formed upgrade is not to be answered with a WebSocket."""

    def known(self, plan: RequestPlan, head: RequestHead) -> Any | None:
        """The principal, where that can be told at once; `None` where it has to be asked for."""

    async def identify(self, plan: RequestPlan, head: RequestHead) -> Any:
        """The principal; may wait for the store. Cancelled, nothing has happened but that a ticket
        may be spent."""

    async def answer(self, incoming: Incoming) -> Whole | Lasting:
        """Do what is asked, for a plan that is lean; only one that lasts may have an answer that
        does. Cancelled, it may have been done."""

    def refusal(self, error: Exception, about: About) -> Whole:
        """The answer that *error* means."""

    def turned_away(self, why: Turned, plan: RequestPlan, about: About) -> Whole:
        """The answer to a request of a connection that cannot be served."""

    @property
    def notes_answers(self) -> bool:
        """Whether `answered` wants to be told."""

    def answered(self, about: About, status: int, seconds: float) -> None:
        """A request has its answer, or a WebSocket (101), so long after its head."""

    def extra_headers(self, head: RequestHead) -> str:
        """Header lines for this client, each with its end, such as those of CORS."""
