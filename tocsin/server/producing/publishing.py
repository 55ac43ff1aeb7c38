"""Publishing, changing and withdrawing: from a principal and a draft to an answer.

Free of HTTP libraries and of frames, because several doors lead here: the HTTP API, one by one and
in batches, the `publish` frame of a WebSocket, and whatever lean lane may stand beside them one
day.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec
import outcome
import trio
from structlog.contextvars import bind_contextvars

from tocsin.actors.delivery.timing import Via
from tocsin.actors.publishing.notifications import Submit
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import PipedReply, Reply
from tocsin.actors.spool.entries import Committal, Spoolable, Spooled, in_time
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import (
    Changed,
    Idempotency,
    KeyReused,
    NotActive,
    NotFound,
    Origin,
    Overdue,
    PatchRefused,
    Publish,
    Replayed,
    RevisionMismatch,
    Update,
    Withdraw,
)
from tocsin.protocol.conditions import expected_revisions
from tocsin.protocol.notifications.meaning import fingerprint
from tocsin.protocol.notifications.notification import (
    Draft,
    Patch,
    answer_to_publish,
    content_of,
    delivery_time,
    has_passed,
    refuse_passed,
)
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.traceparent import SpanContext
from tocsin.protocol.values import Uuid7s
from tocsin.server.auth.principal import Principal
from tocsin.server.decoding import decode
from tocsin.server.services import Services, storage_problem

IDEMPOTENCY_KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"
_IDEMPOTENCY_KEY: Final = re.compile(IDEMPOTENCY_KEY_PATTERN)


class Published(msgspec.Struct, frozen=True):
    """The answer to a publish: the notification's id, its JSON, whether it was given before.

    *spooled* if the store has not got it yet.
    """

    id: str
    body: str
    replayed: bool = False
    spooled: bool = False


class Waited(msgspec.Struct, frozen=True):
    """Of a notification that waited in a queue: since *posted_ms* (Unix ms, `None` if unknown).

    The answer to its idempotency key is kept *key_longer_ms* milliseconds longer than others.
    *trace* is the `traceparent` that it had there. *origin* names it in its broker.
    """

    posted_ms: int | None
    key_longer_ms: int = 0
    trace: str | None = None
    origin: Origin | None = None


class _Answered(msgspec.Struct):
    id: str


class Publishing:
    """See the module."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ids = Uuid7s()

    async def publish(
        self, principal: Principal, draft: Draft, key: str | None, trace: str | None = None
    ) -> Published:
        """Post a notification; returns when it is durable. Raises `Refused`, `Forbidden`.

        *trace* is the request's `traceparent`. Cancelled, it may have been posted: that is what
        idempotency keys are for.
        """
        reply: Reply[Committal] = Reply()
        span = self.submit(principal, draft, key, reply, trace=trace)
        if span is not None:
            # Until the connection's next request: the lines about this one come after its answer.
            bind_contextvars(trace_id=span.trace, span_id=span.span)
        return published(await self.answer(reply, self.new_deadline()))

    def publish_soon(
        self,
        principal: Principal,
        body: bytes,
        key: str | None,
        done: Callable[[Published | Refused], None],
        trace: str | None = None,
    ) -> None:
        """As `publish`, but calls *done* with the answer instead of making somebody wait."""

        def settle(result: outcome.Outcome[Committal]) -> None:
            try:
                done(published(result.unwrap()))
            except (StoreUnavailable, StoreFailed, ActorError, Refused) as error:
                done(storage_problem(error))

        principal.require_scope("notify")
        reply = PipedReply(settle)
        self.submit(principal, decode(Draft, body), key, reply, trace=trace, via="websocket")

    async def change(
        self, principal: Principal, command: Update | Withdraw
    ) -> Changed | Replayed | Spooled:
        """Have *command* of a broker, which may have a name (`once`), carried out.

        Raises as `update`. Cancelled, it may have been carried out.
        """
        principal.require_scope("notify")
        return await self._change(command.notification, command, "broker")

    async def update(
        self, principal: Principal, notification: str, patch: Patch, if_match: str | None
    ) -> Changed | Spooled:
        """Make the next revision; raises `Refused`, `Forbidden`. Cancelled, it may be there."""
        principal.require_scope("notify")
        command = Update(
            notification=notification,
            patch=patch,
            now_ms=self._services.world.now_ms(),
            expected_revisions=expected_revisions(if_match),
        )
        changed = await self._change(notification, command)
        assert not isinstance(changed, Replayed), "it has no name to be known again by"
        return changed

    async def withdraw(self, principal: Principal, notification: str) -> Changed | Spooled:
        """Take it back from everybody; again is no error. Raises `Refused`, `Forbidden`.

        Cancelled, it may have been taken back.
        """
        principal.require_scope("notify")
        changed = await self._change(
            notification, Withdraw(notification, self._services.world.now_ms())
        )
        assert not isinstance(changed, Replayed), "it has no name to be known again by"
        return changed

    def submit(
        self,
        principal: Principal,
        draft: Draft,
        key: str | None,
        reply: Reply[Committal],
        waited: Waited | None = None,
        trace: str | None = None,
        via: Via = "http",
    ) -> SpanContext | None:
        """Hand the notification to its actor, for `answer`. Raises `Refused`, `Forbidden`.

        One that has *waited* in a queue, and has expired there, is stored as expired. *trace* is
        the `traceparent` of the request; returns the span, if the notification is traced.
        """
        principal.require_scope("notify")
        world = self._services.world
        now_ms = world.now_ms()
        notification = self._ids.make(now_ms, world.entropy(10))
        posted_ms = None if waited is None else waited.posted_ms
        content = content_of(draft, notification, now_ms, posted_ms)
        deliver_at = delivery_time(draft, now_ms)
        overdue = waited is None and has_passed(content, deliver_at, now_ms)
        if overdue and key is None:
            raise refuse_passed()
        command: Spoolable = Publish(
            content=content,
            users=tuple(dict.fromkeys(draft.to.users or ())),
            credential=principal.credential,
            idempotency=None if key is None else _idempotency(principal, key, draft),
            deliver_at=deliver_at,
            overdue=overdue,
            escalation=self._services.channels.rules.resolve(draft.escalate, draft.category),
            origin=None if waited is None else waited.origin,
        )
        if waited is not None:
            command = _kept_longer(in_time(command, now_ms), waited.key_longer_ms)
            trace = waited.trace
        span = self._services.timing.follow(notification, trace)
        self._submit(notification, Submit(command=command, reply=reply, via=via))
        return span

    def new_deadline(self) -> float:
        """By when (Trio time) the store, or else the spool, has to answer what it is given now."""
        services = self._services
        tries = 1 if services.spooler is None else 2
        return trio.current_time() + tries * services.settings.store_timeout

    async def answer(self, reply: Reply[Committal], deadline: float) -> Committal:
        """The outcome of a submission, if it is known by *deadline*; raises `Refused`.

        Cancelled, the outcome is lost and the work goes on.
        """
        try:
            return await reply.wait(deadline)
        except (StoreUnavailable, StoreFailed, ActorError, trio.TooSlowError) as error:
            raise storage_problem(error) from error

    def _submit(self, notification: str, submit: Submit) -> None:
        if not self._services.status.available and self._services.spooler is None:
            raise storage_problem(StoreUnavailable())
        try:
            self._services.notifications.submit(notification, submit)
        except ActorError as error:
            raise storage_problem(error) from None

    async def _change(
        self, notification: str, command: Update | Withdraw, via: Via = "http"
    ) -> Changed | Replayed | Spooled:
        reply: Reply[Committal] = Reply()
        self._submit(notification, Submit(command=command, reply=reply, via=via))
        result = await self.answer(reply, self.new_deadline())
        match result:
            case Changed() | Replayed() | Spooled():
                return result
            case NotFound():
                raise refuse("not_found", "There is no notification with this id.")
            case RevisionMismatch(revision=revision):
                raise refuse(
                    "revision_mismatch", f"The notification is at revision {revision} now."
                )
            case NotActive(standing=standing):
                raise refuse(
                    "conflict", f"The notification is {standing}, so it cannot be changed."
                )
            case PatchRefused(error=error):
                raise storage_problem(error)
            case _:
                raise AssertionError(result)


def published(result: Committal) -> Published:
    """The answer that *result* means; raises `Refused` where it was refused."""
    match result:
        case Changed(content=content):
            answer = answer_to_publish(content, result.standing, result.recipients)
            return Published(content.id, answer)
        case Replayed(answer=answer):
            # An older id than the submission's, and of another one where that collapsed.
            first = msgspec.json.decode(answer, type=_Answered).id
            return Published(first, answer, replayed=True)
        case Spooled(answer=answer, replayed=replayed):
            first = msgspec.json.decode(answer, type=_Answered).id
            return Published(first, answer, replayed, spooled=True)
        case Overdue():
            raise refuse_passed()
        case KeyReused():
            detail = "This Idempotency-Key came with another request before; use a new one."
            raise refuse("idempotency_key_reused", detail)
        case _:
            raise AssertionError(result)


def check_key(key: str) -> None:
    """Raise `Refused` unless *key* can be an idempotency key."""
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        wrong = [FieldError("Idempotency-Key", "1 to 255 printable ASCII characters, no spaces")]
        raise refuse("invalid", "The Idempotency-Key cannot be used.", wrong)


def _kept_longer(command: Spoolable, longer_ms: int) -> Spoolable:
    if not isinstance(command, Publish) or command.idempotency is None:
        return command
    kept = msgspec.structs.replace(command.idempotency, longer_ms=longer_ms)
    return msgspec.structs.replace(command, idempotency=kept)


def _idempotency(principal: Principal, key: str, draft: Draft) -> Idempotency:
    check_key(key)
    return Idempotency(principal.credential, key, fingerprint(draft))
