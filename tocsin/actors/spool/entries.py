"""Entries of the spool, and the answers to the producers whose commands they hold.

An entry is a command of the store, in JSON, so that an operator can read the spool with Redis's own
tools. It has a version, because the program that reads an entry may be newer than the one that
wrote it.

The answers are made here and not by the edge, because they are the only ones for which the store
was not asked: the number of a topic's subscribers is not known yet, and is `null`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tocsin.persistence.bus import Claim
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Publish, Update, Withdraw
from tocsin.persistence.store.results import Result
from tocsin.protocol.errors import DescribedError, ProtocolError
from tocsin.protocol.notifications.notification import Content, Standing, patched
from tocsin.protocol.values import to_rfc3339

_VERSION: Final = 1
"""The form of an entry. A node that reads another version puts the entry aside."""
_NAME_BYTES: Final = 16
"""Random bytes of the name by which a command is done only once: 128 bits never meet by chance."""
_KINDS: Final[dict[str, type[Publish | Update | Withdraw]]] = {
    "publish": Publish,
    "update": Update,
    "withdraw": Withdraw,
}

Spoolable = Publish | Update | Withdraw


class Spooled(msgspec.Struct, frozen=True):
    """The command waits in the spool and will be done; *answer* is for the producer, in JSON.

    *replayed* if it is the answer to an earlier request with the same idempotency key.
    """

    answer: str
    replayed: bool = False


Committal = Result | Spooled
"""The outcome of a command: the store has done it, or the spool has it."""


class SpoolUnavailable(DescribedError):
    """The spool cannot be used now."""


class Poisoned(msgspec.Struct, frozen=True):
    """An entry that was set aside: its id, the reason, and its payload as text."""

    entry: str
    reason: str
    payload: str


class UnreadableEntry(ProtocolError):
    """An entry of the spool is of no kind that this version knows."""


class _Entry(msgspec.Struct):
    v: int
    kind: str
    command: msgspec.Raw


def encode(command: Spoolable) -> bytes:
    """*command* as an entry's payload."""
    kind = type(command).__name__.lower()
    return msgspec.json.encode(_Entry(_VERSION, kind, msgspec.Raw(msgspec.json.encode(command))))


def decode(payload: bytes) -> Spoolable:
    """The command in *payload*; raises `UnreadableEntry` if this version knows none like it."""
    try:
        entry = msgspec.json.decode(payload, type=_Entry)
        if entry.v != _VERSION or entry.kind not in _KINDS:
            raise UnreadableEntry(f"version {entry.v}, kind {entry.kind!r}")
        command: Spoolable = msgspec.json.decode(entry.command, type=_KINDS[entry.kind])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEntry(str(error)) from error
    return command


def is_spoolable(command: Command[Any]) -> bool:
    """Whether *command* may wait. One with `If-Match` may not: the revision is not known now."""
    if isinstance(command, Update):
        return command.expected_revisions is None
    return isinstance(command, Publish | Withdraw)


def is_overdue(command: Spoolable) -> bool:
    """Whether *command* can only be a repetition: then its key is looked up, and no entry made."""
    return isinstance(command, Publish) and command.overdue


def answer_to(command: Spoolable) -> str:
    """The answer for the producer of *command*, in JSON."""
    if not isinstance(command, Publish):
        return f'{{"id":"{command.notification}","durability":"spooled"}}'
    content = command.content
    state = Standing.ACTIVE if command.deliver_at is None else Standing.SCHEDULED
    recipients = "null" if content.topic is not None else len(command.users)
    return (
        f'{{"id":"{content.id}","state":"{state}","recipients":{recipients},'
        f'"created_at":"{to_rfc3339(content.created_at)}","durability":"spooled"}}'
    )


def named(command: Spoolable, entropy: Callable[[int], bytes]) -> Spoolable:
    """*command* with a name, by which the store does it once although it may be asked again.

    A publish needs none, since it is known by its content's id.
    """
    if isinstance(command, Publish) or command.once is not None:
        return command
    return msgspec.structs.replace(command, once=entropy(_NAME_BYTES).hex())


def claim_of(command: Spoolable, answer: str) -> Claim | None:
    """The claim on *command*'s idempotency key, if it has one, with the *answer* to keep."""
    if not isinstance(command, Publish) or command.idempotency is None:
        return None
    idempotency = command.idempotency
    # No credential or key has a space in it, so no two pairs look the same.
    key = f"{idempotency.credential} {idempotency.key}"
    return Claim(key, idempotency.fingerprint, answer)


def check(command: Spoolable) -> None:
    """Check *command* as far as that needs no store; raises `Refused` if it can never be done."""
    if isinstance(command, Update):
        patched(_ANY, command.patch, command.now_ms)


def in_time(command: Spoolable, now_ms: int) -> Spoolable:
    """*command* as it is to be done now (Unix ms), which may be long after it was asked for.

    A notification that has expired in the spool is stored as one that is scheduled for the time of
    its expiry. So it expires in the store too, and is never delivered.
    """
    if not isinstance(command, Publish):
        return command
    expires_at = command.content.expires_at
    if expires_at is None or expires_at > now_ms:
        return command
    return msgspec.structs.replace(command, deliver_at=expires_at)


_BLANK: Final[dict[str, Any]] = {"id": "", "category": "default", "priority": "normal"}
_ANY: Final = Content(
    id="",
    revision=1,
    category="default",
    created_at=0,
    updated_at=0,
    expires_at=None,
    document=msgspec.json.encode(_BLANK).decode(),
)
"""Stands for the notification that a patch is for: a patch that can never apply fails here too."""
