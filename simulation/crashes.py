"""Actors that fail, once, in the middle of their work: a bug that none of them has.

For a run with such faults, the places where the actors handle what comes are wrapped. A process
knows which of its actors is to fail, and at which message: see `Process.doom`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final
from unittest.mock import patch

from simulation.scheduling import current_process
from tocsin.actors.cluster import ClusterBridge
from tocsin.actors.notifications import NotificationActor
from tocsin.actors.presence import PresenceActor
from tocsin.actors.scheduler import Scheduler
from tocsin.actors.storage import StorageActor
from tocsin.actors.topics import Topics
from tocsin.actors.user import UserActor

_WORK: Final[tuple[tuple[type, str], ...]] = (
    (UserActor, "receive"),
    (NotificationActor, "receive"),
    (StorageActor, "receive"),
    (Scheduler, "on_deadline"),
    (Topics, "_bring"),
    (ClusterBridge, "_heed"),
    (PresenceActor, "_tell"),
)


class Crash(Exception):
    """A fault of the simulation's."""


def is_ours(error: BaseException | None) -> bool:
    """Whether *error* is a `Crash` or comes of one."""
    seen = 0
    while error is not None and seen < 100:
        if isinstance(error, Crash):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(is_ours(each) for each in error.exceptions)
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


@contextmanager
def crashing(some: bool) -> Iterator[None]:
    """Actors fail where their process is doomed to; it costs nothing if not *some* ever are."""
    with ExitStack() as stack:
        for kind, name in _WORK if some else ():
            work = _doomed(kind.__name__, getattr(kind, name))
            stack.enter_context(patch.object(kind, name, work))
        yield


def _doomed(actor: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def fail_if_due() -> None:
        process = current_process()
        if process is not None and process.doom and process.is_doomed(actor):
            raise Crash(actor)

    if iscoroutinefunction(work):

        @wraps(work)
        async def slowly(*arguments: Any) -> Any:
            fail_if_due()
            return await work(*arguments)

        return slowly

    @wraps(work)
    def at_once(*arguments: Any) -> Any:
        fail_if_due()
        return work(*arguments)

    return at_once
