"""The frames of a client after its `hello`, one by one.

Frames are handled in the task that reads them, without waiting: what concerns delivery becomes a
message to the user's actor, a publish is handed on with a promise to reply. So a connection that
says much costs no task switches, and its pings are answered all the while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, assert_never

import msgspec
import structlog
import trio

from tocsin.actors.delivery.messages import DeviceAnswered, Refreshed, UserMessage
from tocsin.actors.runtime.errors import MailboxFull
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.problems import CREDENTIAL_PROBLEMS
from tocsin.protocol.refusal import Refusal, Refused, refuse
from tocsin.server.attachment import expiry_ms
from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.principal import Principal
from tocsin.server.marking import mark_inbox, request_of
from tocsin.server.producing.publishing import Published, Publishing
from tocsin.server.services import Services
from tocsin.server.turnstile import Turnstile
from tocsin.server.websocket.codec import JSON, Codec
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.outlet import WebSocketOutlet

logger = structlog.get_logger(__name__)

_PUBLISHES_MAX: Final = 1024
"""Publishes of one connection on their way to the store; beyond it, it is told to wait."""
_MARKS_MAX: Final = 16
"""Marks of one connection on their way to the store; they are few, and each may be long."""


class WebSocketSession:
    """One client after its hello; *nursery* runs the little that has to wait.

    *marking* is where the marks of all clients pass, so many at a time. *codec* reads the frames.
    """

    __slots__ = (
        "_codec",
        "_marking",
        "_marks",
        "_nursery",
        "_outlet",
        "_principal",
        "_publishes",
        "_publishing",
        "_refreshing",
        "_services",
        "_user",
    )

    def __init__(
        self,
        outlet: WebSocketOutlet,
        principal: Principal,
        services: Services,
        publishing: Publishing,
        nursery: trio.Nursery,
        marking: Turnstile,
        codec: Codec = JSON,
    ) -> None:
        self._outlet = outlet
        self._codec = codec
        self._marking = marking
        self._principal = principal
        self._user = principal.user
        self._services = services
        self._publishing = publishing
        self._nursery = nursery
        self._publishes = 0
        self._marks = 0
        self._refreshing = False

    def received(self, message: str | bytes) -> None:
        """Handle one message; never raises, and what is wrong with it ends the connection."""
        if self._outlet.ended:
            return  # read together with what ended it, but goodbye has been said
        try:
            self._handle(self._codec.decode(message))
        except Refused as refused:
            self._outlet.refuse(refused.refusal)
        except Exception:
            # Raised into the task that reads, it would end the connection without a word.
            logger.exception("frame failed")
            self._outlet.end(Closing.INTERNAL_ERROR, Closing.INTERNAL_ERROR.after)

    def closed(self) -> None:
        """The connection has ended, for whatever reason."""
        if self._user is not None:
            self._services.users.leave(self._user, self._outlet.connection)

    def _handle(self, frame: frames.ClientFrame) -> None:
        match frame:
            case frames.Ack() | frames.Nack():
                self._tell_user(DeviceAnswered(self._outlet.connection, frame))
            case frames.Publish():
                self._check_token()
                self._publish(frame)
            case frames.Ping():
                self._outlet.pong()
            case frames.Refresh():
                if self._refreshing:
                    detail = "One `refresh` at a time: the one before is not answered yet."
                    raise Ended(Closing.RATE_LIMITED, detail)
                self._refreshing = True
                self._nursery.start_soon(self._refresh, frame)
            case frames.Mark():
                self._check_token()
                self._mark_soon(frame)
            case frames.Hello():
                raise Ended(Closing.MALFORMED, "`hello` is said once.")
            case _:
                assert_never(frame)

    def _check_token(self) -> None:
        """End where the token has: the session's own look may be a heartbeat away, or a suspend."""
        expires_at = expiry_ms(self._principal)
        if expires_at is not None and expires_at <= self._services.world.now_ms():
            raise Unauthenticated("the token has run out.", AuthCode.TOKEN_EXPIRED)

    def _tell_user(self, message: UserMessage) -> None:
        if self._user is None:
            raise Ended(Closing.MALFORMED, "An API key has no inbox to acknowledge.")
        try:
            self._services.users.tell(self._user, message)
        except MailboxFull:
            # A device that says more than its user's actor can read is out of its mind.
            detail = "The devices of this user say more than can be taken in."
            raise Ended(Closing.OVERLOADED, detail) from None

    def _publish(self, frame: frames.Publish) -> None:
        def done(answer: Published | Refused) -> None:
            self._publishes -= 1
            if isinstance(answer, Refused):
                self._refuse(frame.request, answer.refusal)
            else:
                self._accept(frame.request, msgspec.Raw(answer.body.encode()))

        self._publishes += 1
        try:
            if self._publishes > _PUBLISHES_MAX:
                detail = f"More than {_PUBLISHES_MAX} publishes wait for their answer."
                raise refuse("rate_limited", detail)
            self._publishing.publish_soon(
                self._principal,
                bytes(frame.notification),
                frame.idempotency_key,
                done,
                frame.traceparent,
            )
        except Refused as error:
            done(error)

    def _mark_soon(self, frame: frames.Mark) -> None:
        if self._marks == _MARKS_MAX:
            detail = f"More than {_MARKS_MAX} marks wait for their answer."
            self._refuse(frame.request, refuse("rate_limited", detail).refusal)
            return
        self._marks += 1
        self._nursery.start_soon(self._mark, frame)

    async def _mark(self, frame: frames.Mark) -> None:
        """As over HTTP; what is wrong with it, or with the store, is the reply."""
        try:
            user = self._principal.require_user()
            request = request_of(frame)
            with await self._marking.enter():
                marked = await mark_inbox(self._services, user, request)
        except Refused as error:
            self._refuse(frame.request, error.refusal)
        else:
            self._accept(frame.request, msgspec.Raw(msgspec.json.encode(marked)))
        finally:
            self._marks -= 1

    async def _refresh(self, frame: frames.Refresh) -> None:
        """A newer token of the same user keeps the session going; anything else ends it."""
        try:
            principal = await identify_token(self._services, frame.token)
            if principal.user != self._user:
                raise Ended(Closing.FORBIDDEN, "The newer token is another user's.")
            self._principal = principal
            self._services.credential_watch.belongs(self._outlet, principal)
            if self._user is not None:
                self._tell_user(Refreshed(self._outlet.connection, expiry_ms(principal)))
        except Refused as refused:
            self._outlet.refuse(refused.refusal)
        else:
            if frame.request is not None:
                self._accept(frame.request, None)
        finally:
            self._refreshing = False

    def _accept(self, request: str | int, result: msgspec.Raw | None) -> None:
        self._reply(frames.Reply(request, ok=True, result=result))

    def _refuse(self, request: str | int, refusal: Refusal) -> None:
        if refusal.code in CREDENTIAL_PROBLEMS:
            # Of a credential a reply says as much as a close code does.
            refusal = msgspec.structs.replace(refusal, code=refusal.closing.word)
        self._reply(frames.Reply(request, ok=False, problem=refusal.problem))

    def _reply(self, reply: frames.Reply) -> None:
        # Posts that were published together are committed together, and answered together.
        if self._publishes:
            self._outlet.say_soon(reply)
        else:
            self._outlet.say(reply)


async def identify_token(services: Services, token: str) -> Principal:
    """The principal of *token*; raises `Refused`. Cancelling does no harm."""
    return await identified(services, lambda: services.authenticator.from_token(token))


async def identified(services: Services, ask: Callable[[], Awaitable[Principal]]) -> Principal:
    """The principal that *ask* finds, in the time the store is given.

    Raises `Refused`: `Ended` if the store does not answer in time. Cancelling does no harm.
    """
    try:
        with trio.fail_after(services.settings.store_timeout):
            return await ask()
    except trio.TooSlowError:
        detail = "The store was needed to know who this is, and does not answer now."
        raise Ended(Closing.STORE_UNAVAILABLE, detail) from None
