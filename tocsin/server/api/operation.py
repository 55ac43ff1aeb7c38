"""One record for each thing that the HTTP API does, kept beside the function that does it.

    @operations.define(
        "GET", "/v1/inbox", "List the inbox, the newest first",
        caller=Caller.USER, query=InboxQuery, answers={200: InboxAnswer, 304: None},
    )
    async def list_inbox(call: Call[InboxQuery, None]) -> Answer: ...

The record is not a description of the code: it is what `serving` goes by when it checks who calls,
reads path, query and body into these types, and encodes the answer. So it cannot lie, and the
OpenAPI document that is made from it cannot either. No HTTP library is in it: the door answers the
hot operations by it, Quart the others, and the simulation all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.protocol.channels.escalation import ChannelName
from tocsin.protocol.channels.unsubscribing import TOKEN_PATTERN
from tocsin.protocol.notifications.notification import DeviceId, Topic, UserId
from tocsin.server.auth.principal import Principal
from tocsin.server.decoding import ConnectorName, NotificationId
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

Q = TypeVar("Q")
B = TypeVar("B")
T = TypeVar("T")

PATH_TYPES: Final[Mapping[str, Any]] = {
    "notification": NotificationId,
    "user": UserId,
    "device": DeviceId,
    "topic": Topic,
    "letter": Annotated[int, Meta(ge=1, le=2**53)],
    "connector": ConnectorName,
    "sink": ConnectorName,
    "key": Annotated[str, Meta(pattern=r"^[a-z2-7]{16}$(?!\n)")],
    "entry": Annotated[str, Meta(pattern=r"^[0-9]{1,20}-[0-9]{1,20}$(?!\n)")],
    "channel": ChannelName,
    "name": DeviceId,
    "token": Annotated[str, Meta(pattern=TOKEN_PATTERN)],
    "webhook": NotificationId,
    "position": Annotated[int, Meta(ge=1, le=2**53)],
    "module": Annotated[str, Meta(pattern=r"^[a-z]{1,32}\.js$(?!\n)")],
}
"""The types of names in a path, by the name between the braces; any other is not found."""


class Caller(StrEnum):
    """The callers: a user for their own things, or a credential with the scope of that name."""

    ANYONE = "anyone"
    USER = "user"
    NOTIFY = "notify"
    ADMIN = "admin"


class UrlQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The query parameters of an operation; this one has none.

    One that may be absent is `UNSET` then: `None` would be one more text that it could be.
    """


@dataclass(frozen=True, slots=True)
class Header:
    """A header that means something to an operation; its *type* is a text's, for the documents."""

    name: str
    about: str
    type: Any = str


class Answer(msgspec.Struct, frozen=True):
    """A handler's answer: a struct, or JSON that is written already; `None` for nothing.

    *media_type* replaces that of the operation, where the caller has asked for another.
    """

    body: msgspec.Struct | bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """A handler's answer that lasts: *body* is entered when it is begun, and left
    however it ends. A chunk is asked for when the client has taken the one before. *direct* as in
    `Lasting`."""

    body: AbstractAsyncContextManager[AsyncIterator[bytes]]
    headers: Mapping[str, str] = field(default_factory=dict)
    direct: Callable[[Callable[[bytes], bool]], None] | None = None


NO_CONTENT: Final = Answer(status=204)
CACHING: Final = Header("Cache-Control", "Who may keep this, and for how long.")
UNBUFFERED: Final = Header("X-Accel-Buffering", "`no`: proxies are to hand on at once.")


class Call(msgspec.Struct, Generic[Q, B], frozen=True, kw_only=True):
    """One call of an operation: who, what, and what there is to do it with.

    *headers* holds those that the operation declares; *body* comes in pieces where it is streamed,
    as *media_type*. *address* is the client's, *request_id* the name that its answer has.
    """

    services: Services
    publishing: Publishing
    principal: Principal
    query: Q
    body: B
    headers: Mapping[str, str | None]
    media_type: str = ""
    address: str = ""
    request_id: str = ""

    @property
    def user(self) -> str:
        """The user whose things this is about; raises `Forbidden` for a credential without a
        user."""
        return self.principal.require_user()

    @property
    def now_ms(self) -> int:
        """The time now, in Unix milliseconds."""
        return self.services.world.now_ms()


Handler = Callable[..., Awaitable[Answer | Streamed]]
"""Takes a `Call`, and what stands in the path by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """See the module. *name* is the handler's, *about* its docstring.

    *answers* gives for each status of a success the type of its JSON, `None` if it has no body;
    problems (`protocol.problems`) may come with any operation, and *problems* are the codes of this
    one's own. *headers* are those of the request, *sends* those of a success (*sent_names*). *body*
    is the type of the JSON that is read for the handler, *streamed* the types by media type where
    it reads for itself, *body_bytes_max* what it may be at most where that is less than other
    bodies may. With *ticket*, a ticket in the query will do for a credential. One that *acts* takes
    the device's place, and may last. A body that is *body_optional* is `None` where it is left out.
    An operation that is *lean* comes by the thousand: the door answers it without Quart, and so
    each that *acts*.
    """

    method: str
    path: str
    name: str
    summary: str
    about: str
    tag: str
    caller: Caller
    answers: Mapping[int, Any]
    handler: Handler
    query: type[UrlQuery]
    headers: tuple[Header, ...]
    sends: tuple[Header, ...]
    sent_names: frozenset[str]
    problems: tuple[str, ...]
    body: Any
    streamed: Mapping[str, Any]
    produces: str
    ticket: bool
    acts: bool
    lean: bool
    body_bytes_max: int | None
    body_optional: bool


class Operations:
    """Collects the operations of one part of the API, in the order in which they are written."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Operation] = []

    def define(
        self,
        method: str,
        path: str,
        summary: str,
        *,
        caller: Caller,
        answers: Mapping[int, Any],
        query: type[UrlQuery] = UrlQuery,
        headers: tuple[Header, ...] = (),
        sends: tuple[Header, ...] = (),
        problems: tuple[str, ...] = (),
        body: Any = None,
        streamed: Mapping[str, Any] | None = None,
        produces: str = "application/json",
        ticket: bool = False,
        acts: bool = False,
        lean: bool = False,
        body_bytes_max: int | None = None,
        body_optional: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Declares what the handler below it does; see `Operation`.

        A handler's docstring is a part of the API's documents, so what cancelling does is said here
        for all of them: what the handler has asked an actor or the store for may have been done.
        """

        def declare(handler: Handler) -> Handler:
            operation = Operation(
                method=method,
                path=path,
                name=handler.__name__,
                summary=summary,
                about=handler.__doc__ or "",
                tag=self.tag,
                caller=caller,
                answers=answers,
                handler=handler,
                query=query,
                headers=headers,
                sends=sends,
                sent_names=frozenset(header.name for header in sends),
                problems=problems,
                body=body,
                streamed=streamed or {},
                produces=produces,
                ticket=ticket,
                acts=acts,
                lean=lean or acts,
                body_bytes_max=body_bytes_max,
                body_optional=body_optional,
            )
            self.all.append(operation)
            return handler

        return declare


def given(value: T | UnsetType) -> T | None:
    """*value*, or `None` if the query does not have it."""
    return None if value is UNSET else value
