"""Actors that crash once, in the middle of their work, although they have no such bug.

In a run with crash faults, the methods in which actors handle messages are wrapped. A process knows
which of its actors is to crash, and at which message: see `Process.doom`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final
from unittest.mock import patch

from simulation.world.scheduling import current_process
from tocsin.actors.cluster.bridge import ClusterBridge
from tocsin.actors.cluster.channels import ChannelKeeper
from tocsin.actors.cluster.disconnections import DisconnectionKeeper
from tocsin.actors.cluster.reconciler import Reconciler
from tocsin.actors.delivery.attendance import PresenceActor
from tocsin.actors.delivery.drainer import Drainer
from tocsin.actors.delivery.user import UserActor
from tocsin.actors.escalation.channel_worker import ChannelWorker
from tocsin.actors.escalation.escalator import Escalator
from tocsin.actors.publishing.notifications import NotificationActor
from tocsin.actors.publishing.scheduler import Scheduler
from tocsin.actors.publishing.topics import TopicsWorker
from tocsin.actors.sinks.keeper import SinksKeeper
from tocsin.actors.spool.drain import Drain
from tocsin.actors.spool.spooler import Spooler
from tocsin.actors.storage.actor import StorageActor
from tocsin.server.credential_watch import CredentialWatcher
from tocsin.server.ingest.connector import ConnectorActor
from tocsin.server.websocket.session import WebSocketSession

PLACES: Final[dict[str, tuple[tuple[type, str], ...]]] = {
    "UserActor": ((UserActor, "receive"),),
    "NotificationActor": ((NotificationActor, "receive"),),
    "StorageActor": ((StorageActor, "receive"),),
    "StorageWork": ((StorageActor, "_commit"), (StorageActor, "_answer")),
    "Scheduler": (
        *((Scheduler, "receive"), (Scheduler, "on_deadline")),
        *((Scheduler, "_release"), (Scheduler, "_expire")),
    ),
    "Topics": ((TopicsWorker, "_bring"),),
    "ClusterBridge": ((ClusterBridge, "_heed"),),
    "ClusterWork": (
        (ChannelKeeper, "_subscribe"),
        (DisconnectionKeeper, "_keep"),
        (Reconciler, "_look_at"),
    ),
    "PresenceActor": ((PresenceActor, "_tell"), (PresenceActor, "_release")),
    "Spooler": ((Spooler, "_append"), (Spooler, "_ask_waiting")),
    "SpoolDrain": ((Drain, "_look"), (Drain, "_drain"), (Drain, "_forget")),
    "CredentialWatch": ((CredentialWatcher, "_look"),),
    "Sinks": ((SinksKeeper, "_look"),),
    "Connector": ((ConnectorActor, "_settle"), (ConnectorActor, "_read_orders")),
    "Escalator": ((Escalator, "_escalate"),),
    "Channel": ((ChannelWorker, "_claim"), (ChannelWorker, "_settle")),
    "Drainer": ((Drainer, "_say_goodbye"),),
    "Connection": ((WebSocketSession, "_handle"),),
}
"""By kind of victim, the methods that crash: of an actor, or of a task that it runs.

Keepers of directories have nothing in hand; it is their children who fail.
"""


class Crash(Exception):
    """A crash made by the simulation, in contrast to a bug of the product."""


def is_ours(error: BaseException | None) -> bool:
    """Whether *error* is a `Crash` or was caused by one."""
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
    """Wrap the methods of `PLACES`, so that actors crash when their process is doomed.

    Nothing is wrapped, and nothing costs time, unless the schedule has *some* crashes.
    """
    with ExitStack() as stack:
        for actor, places in PLACES.items() if some else ():
            for kind, name in places:
                work = _doomed(actor, getattr(kind, name))
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
