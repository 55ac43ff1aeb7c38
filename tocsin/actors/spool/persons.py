"""The users that a spooled command names: its recipients, and the owner of its credential."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from tocsin.actors.spool.entries import Spoolable
from tocsin.persistence.store.commands import Publish


def names(command: Spoolable, user: str, is_theirs: Callable[[str], bool]) -> bool:
    """Whether *command* is for *user*, or came with a credential that *is_theirs*."""
    return isinstance(command, Publish) and (
        user in command.users or any(map(is_theirs, _credentials(command)))
    )


def without(
    command: Publish, user: str, is_theirs: Callable[[str], bool], substitute: str
) -> Publish | None:
    """*command* without *user*; `None` if it was for nobody else. The credential becomes
    *substitute*, and the idempotency key goes, if they were the user's.
    """
    users = tuple(each for each in command.users if each != user)
    if command.users and not users:
        return None
    if not any(map(is_theirs, _credentials(command))):
        return replace(command, users=users)
    return replace(command, users=users, credential=substitute, idempotency=None)


def _credentials(command: Publish) -> set[str]:
    idempotency = command.idempotency
    return {command.credential} | ({idempotency.credential} if idempotency else set())
