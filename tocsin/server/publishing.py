"""What publishing, changing and withdrawing mean: from a principal and bytes to an answer.

Free of HTTP libraries and of frames, because three doors lead here: Quart's routes, the `publish`
frame of a WebSocket, and whatever lean lane may stand beside them one day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import outcome
import trio

from tocsin.actors.notifications import Submit
from tocsin.actors.runtime import ActorError, PipedReply, Reply
from tocsin.persistence.store import (
    Changed,
    Idempotency,
    KeyReused,
    NotActive,
    NotFound,
    PatchRefused,
    Publish,
    Replayed,
    Result,
    RevisionMismatch,
    StoreFailed,
    StoreUnavailable,
    Update,
    Withdraw,
)
from tocsin.protocol.notification import Draft, Patch, content_of
from tocsin.protocol.problems import FieldError, ProblemError, refuse
from tocsin.protocol.values import is_uuid, to_rfc3339, uuid7
from tocsin.server.auth import Principal
from tocsin.server.services import Services, storage_problem

T = TypeVar("T")

_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_PATH_IN_MESSAGE: Final = re.compile(r"(.*) - at `(\$.*)`", re.DOTALL)
_drafts: Final = msgspec.json.Decoder(Draft)
_patches: Final = msgspec.json.Decoder(Patch)


@dataclass(frozen=True, slots=True)
class Published:
    """The answer to a publish: its JSON, and whether it was given before."""

    body: str
    replayed: bool = False


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Read a request's JSON; raises `ProblemError` that says what is wrong, and where."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        match = _PATH_IN_MESSAGE.fullmatch(str(error))
        message, path = (match[1], match[2]) if match else (str(error), "$")
        wrong = [FieldError(path, message)]
        raise refuse("invalid", f"{message} (at {path})", wrong) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse("malformed", f"The body is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise refuse("malformed", "The body is nested too deeply.") from None


class Publishing:
    """See the module."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def publish(self, principal: Principal, body: bytes, key: str | None) -> Published:
        """Post a notification; returns when it is durable. Raises `ProblemError`, `Forbidden`.

        Cancelled, it may have been posted: that is what idempotency keys are for.
        """
        reply: Reply[Result] = Reply()
        answer = self._submit_draft(principal, body, key, reply)
        return _published(await self._answer(reply), answer)

    def publish_soon(
        self,
        principal: Principal,
        body: bytes,
        key: str | None,
        done: Callable[[Published | ProblemError], None],
    ) -> None:
        """As `publish`, but calls *done* with the answer instead of making somebody wait."""

        def settle(result: outcome.Outcome[Result]) -> None:
            try:
                done(_published(result.unwrap(), answer))
            except (StoreUnavailable, StoreFailed, ActorError, ProblemError) as error:
                done(storage_problem(error))

        answer = self._submit_draft(principal, body, key, PipedReply(settle))

    async def update(
        self, principal: Principal, notification: str, body: bytes, if_match: str | None
    ) -> Changed:
        """Make the next revision; raises `ProblemError`, `Forbidden`."""
        principal.require_scope("notify")
        check_id(notification)
        command = Update(
            notification=notification,
            patch=decode(_patches, body),
            now_ms=self._services.world.now_ms(),
            expected_revision=_revision(if_match),
        )
        return await self._change(notification, command)

    async def withdraw(self, principal: Principal, notification: str) -> Changed:
        """Take it back from everybody; again is no error. Raises `ProblemError`, `Forbidden`."""
        principal.require_scope("notify")
        check_id(notification)
        return await self._change(
            notification, Withdraw(notification, self._services.world.now_ms())
        )

    def _submit_draft(
        self, principal: Principal, body: bytes, key: str | None, reply: Reply[Result]
    ) -> str:
        """Hand the notification to its actor; returns the answer that goes with a success."""
        principal.require_scope("notify")
        world = self._services.world
        draft = decode(_drafts, body)
        now_ms = world.now_ms()
        notification = uuid7(now_ms, world.entropy(10))
        content = content_of(draft, notification, now_ms)
        users = tuple(dict.fromkeys(draft.to.users))
        answer = (
            f'{{"id":"{notification}","state":"active","recipients":{len(users)},'
            f'"created_at":"{to_rfc3339(now_ms)}"}}'
        )
        idempotency = None if key is None else _idempotency(principal, key, draft)
        command = Publish(
            content=content,
            users=users,
            credential=principal.credential,
            answer=answer,
            idempotency=idempotency,
        )
        self._submit(notification, Submit(command=command, reply=reply))
        return answer

    def _submit(self, notification: str, submit: Submit) -> None:
        if not self._services.status.available:
            raise storage_problem(StoreUnavailable())
        try:
            self._services.notifications.submit(notification, submit)
        except ActorError as error:
            raise storage_problem(error) from None

    async def _change(self, notification: str, command: Update | Withdraw) -> Changed:
        reply: Reply[Result] = Reply()
        self._submit(notification, Submit(command=command, reply=reply))
        result = await self._answer(reply)
        match result:
            case Changed():
                return result
            case NotFound():
                raise refuse("not_found", "There is no notification with this id.")
            case RevisionMismatch(revision=revision):
                raise refuse("revision_mismatch", f"It is at revision {revision} now.")
            case NotActive(standing=standing):
                raise refuse("conflict", f"It is {standing}, so it cannot be changed.")
            case PatchRefused(error=error):
                raise storage_problem(error)
            case _:
                raise AssertionError(result)

    async def _answer(self, reply: Reply[Result]) -> Result:
        try:
            with trio.fail_after(self._services.settings.store_timeout):
                return await reply.wait()
        except (StoreUnavailable, StoreFailed, ActorError, trio.TooSlowError) as error:
            raise storage_problem(error) from error


def check_id(notification: str) -> None:
    """Refuse what cannot be a notification's id as if it did not exist: it does not."""
    if not is_uuid(notification):
        raise refuse("not_found", "There is no notification with this id.")


def _published(result: Result, answer: str) -> Published:
    match result:
        case Changed():
            return Published(answer)
        case Replayed(answer=answer):
            return Published(answer, replayed=True)
        case KeyReused():
            detail = "This Idempotency-Key came with another request before; use a new one."
            raise refuse("idempotency_key_reused", detail)
        case _:
            raise AssertionError(result)


def _idempotency(principal: Principal, key: str, draft: Draft) -> Idempotency:
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        wrong = [FieldError("Idempotency-Key", "1 to 255 printable ASCII characters, no spaces")]
        raise refuse("invalid", "The Idempotency-Key cannot be used.", wrong)
    # What was meant counts, not how it was spelled: a client may order its keys anew.
    meant = msgspec.json.encode(draft, order="sorted")
    return Idempotency(principal.credential, key, hashlib.sha256(meant).digest())


def _revision(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = re.fullmatch(r'\s*"(\d{1,9})"\s*', if_match)
    if match is None:
        wrong = [FieldError("If-Match", 'a revision in quotes, such as "1"')]
        raise refuse("invalid", "The If-Match header cannot be read.", wrong)
    return int(match[1])
