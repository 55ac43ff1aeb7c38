"""The services that the edges may use: the actors behind them, and a few facts about the node.

Made by the node. Handlers ask actors through this; they never see a store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

import trio

from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.connections import Connections
from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.timing import Timing
from tocsin.actors.delivery.users import Users
from tocsin.actors.escalation.configured import ConfiguredChannels
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.loop_watch import LoopStatus
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.runtime.errors import ActorError, MailboxFull
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.actors.samples import Samples
from tocsin.actors.sinks.table import SinksTable
from tocsin.actors.sinks.watch import ReceiptWatch
from tocsin.actors.spool.line import SpoolLine
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command, Query
from tocsin.protocol.outbound import NOWHERE, OutboundPort
from tocsin.protocol.refusal import Refused, refuse
from tocsin.server.admission.refusals import Refusals
from tocsin.server.auth.authenticator import Authenticator
from tocsin.server.connector_status import Connectors
from tocsin.server.credential_watch import CredentialWatch
from tocsin.server.turnstile import ANSWERS_MAX, ATTACHING_MAX, AnswerLine, Turnstile

T = TypeVar("T")
Asked: TypeAlias = Read[T] | Write[T]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """The settings of the edges; times in seconds."""

    node: str
    store: Literal["postgres", "sqlite"]
    origins: tuple[str, ...]
    access_log: bool
    window: int
    window_bytes: int
    heartbeat: float
    hello_timeout: float
    frame_bytes_max: int
    frames_per_second_max: int
    frame_bytes_per_second_max: int
    body_bytes_max: int
    batch_bytes_max: int
    outbound_bytes_max: int
    ticket_lifetime: float
    stream_ticket_lifetime: float
    poll_wait_max: float
    user_tickets_max: int
    store_timeout: float
    data_told: str | None = None
    """The data directory, where whoever brings a credential of another one may be told it."""


@dataclass(slots=True)
class Readiness:
    """Whether this node wants new work; *stopping* from the first moment of a stop."""

    started: bool = False
    stopping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """See the module. Without a *spooler*, posts need the store."""

    settings: EdgeSettings
    world: World
    storage: Ref[StorageMessage]
    status: StoreStatus
    users: Users
    notifications: Notifications
    connections: Connections
    attendance: Attendance
    authenticator: Authenticator
    readiness: Readiness
    snapshot: Callable[[int], tuple[Snapshot, ...]]
    spooler: SpoolLine | None = None
    connectors: Connectors = field(default_factory=Connectors)
    bus: BusStatus = field(default_factory=BusStatus)
    neighbours: Neighbours = ALONE
    attaching: Turnstile = field(default_factory=lambda: Turnstile(ATTACHING_MAX))
    """The turnstile of streams and long polls on their way in; next, of polls on their way out."""
    answering: AnswerLine = field(default_factory=lambda: AnswerLine(ANSWERS_MAX))
    credential_watch: CredentialWatch
    timing: Timing = field(default_factory=Timing)
    loop: LoopStatus = field(default_factory=LoopStatus)
    samples: Samples = field(default_factory=Samples)
    refusals: Refusals = field(default_factory=lambda: Refusals(trio.current_time))
    loop_faults: Callable[[], int] = field(default=lambda: 0)
    """Exceptions in asyncio that nobody has collected."""
    outbound: OutboundPort = NOWHERE
    channels: ConfiguredChannels = field(default_factory=ConfiguredChannels)
    store_secret: Callable[[], str] = field(default=lambda: "")
    """The secret that all nodes share; raises `RuntimeError` before the store was open once."""
    receipts: ReceiptWatch = field(default_factory=ReceiptWatch)
    sinks: SinksTable = field(default_factory=lambda: SinksTable(ReceiptWatch()))

    @property
    def epoch(self) -> str:
        """The log's epoch; raises `Refused` (503) if the store was never reached.

        Without it, nobody can tell whether a cursor is of another log.
        """
        if not self.status.epoch:
            raise storage_problem(StoreUnavailable())
        return self.status.epoch

    async def read(self, query: Query[T]) -> T:
        """Ask the store; raises `Refused` (503) where it cannot answer now.

        Cancelling loses the answer and changes nothing.
        """
        return await ask_storage(self.storage, Read(query=query), self.settings.store_timeout)

    async def write(self, command: Command[T]) -> T:
        """Have the store do something; raises `Refused` (503) where it cannot now.

        Cancelled, it may have been done.
        """
        return await ask_storage(self.storage, Write(command=command), self.settings.store_timeout)


async def ask_storage(storage: Ref[StorageMessage], request: Asked[T], timeout: float) -> T:
    """Ask the storage actor, for *timeout* seconds at most; raises `Refused`.

    Cancelled, the question may have been answered, and a command carried out.
    """
    deadline = trio.current_time() + timeout
    try:
        try:
            storage.tell(request)
        except MailboxFull:
            with trio.fail_at(deadline):
                await storage.send(request)
        return await request.reply.wait(deadline)
    except (StoreUnavailable, StoreFailed, ActorError, trio.TooSlowError) as error:
        raise storage_problem(error) from error


def storage_problem(error: Exception) -> Refused:
    """The refusal of a caller when an actor or the store behind it could not do its work."""
    match error:
        case Refused():
            return error
        case MailboxFull():
            detail = "More is waiting than this node can take; come back a little later."
            return refuse("overloaded", detail)
        case StoreUnavailable() | ActorError() | trio.TooSlowError():
            detail = "The store does not answer now; nothing is known to have changed."
            return refuse("store_unavailable", detail)
        case _:
            return refuse("internal_error", "The store refused what we sent it; we have logged it.")
