"""Keeps the leases of sinks, and a forwarder for each that this node has.

Webhooks stand in the store, sinks in brokers in the settings of this node. They are looked at every
few seconds and when an operator changes one here. While there are none, a node looks each quarter
of a minute, and has no actor for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Never

import trio

from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import TEMPORARY
from tocsin.actors.runtime.supervisor import Actor, Context, Supervisor
from tocsin.actors.sinks.forwarder import SinkForwarder
from tocsin.actors.sinks.hands import BrokerHand, Hand, WebhookHand
from tocsin.actors.sinks.table import LEASE, SinksTable
from tocsin.actors.sinks.watch import ReceiptWatch
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.actors.world import World
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.sink_commands import (
    WEBHOOK,
    ClaimSinks,
    DeclareSink,
    ListSinks,
    StoredSink,
)
from tocsin.protocol.outbound import OutboundPort
from tocsin.protocol.receipts.sink import ACTIVE, DISABLED

_RENEWAL: Final = LEASE / 3
"""Seconds between renewals of leases: two may fail before one runs out."""
_RETRY_DELAY: Final = 1.0
"""Seconds until the next look when the store cannot be asked: a new node has yet to open it."""
_IDLE_INTERVAL: Final = 15.0
"""Seconds between looks while there is no webhook: one may have been made on another node."""


class SinksKeeper(Actor[Never]):
    """See the module; most arguments are those of `SinkForwarder`. *grace* is in seconds.

    *outbound* carries to webhooks. Leases are taken by the store's *clock*.
    """

    def __init__(
        self,
        table: SinksTable,
        watch: ReceiptWatch,
        storage: Ref[StorageMessage],
        outbound: OutboundPort,
        world: World,
        clock: StoreClock,
        *,
        node: str,
        epoch: Callable[[], str],
        disable_after: float,
        grace: float,
    ) -> None:
        self._table = table
        self._watch = watch
        self._storage = storage
        self._outbound = outbound
        self._world = world
        self._clock = clock
        self._node = node
        self._epoch = epoch
        self._disable_after = disable_after
        self._grace = grace
        self._terms = {each.id: each for each in table.terms}
        self._declared = not self._terms
        self._claimed: tuple[StoredSink, ...] = ()

    async def run(self, context: Context[Never]) -> None:
        """Keep leases until told to stop; then let batches in hand end, and give the leases up.

        Cancelling leaves them to run out.
        """
        async with (
            context.open_supervisor(self._world.random, together=True) as children,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._look_after, children, name=f"{context.ref.path}/leases")
            await super().run(context)
            nursery.cancel_scope.cancel()
            await children.stop_together(self._grace)
        if self._table.leases:
            await self._claim(until=0.0)

    async def _look_after(self, children: Supervisor) -> None:
        while True:
            interval = await self._look(children)
            await self._table.bell.wait(trio.current_time() + interval)

    async def _look(self, children: Supervisor) -> float:
        """Renew leases and start forwarders; seconds until the next look."""
        try:
            await self._clock.look()
            await self._declare()
            listed = await self._storage.ask(Read(query=ListSinks(kind=None)))
        except (StoreUnavailable, StoreFailed, ActorError):
            return _RETRY_DELAY
        self._table.disabled = sum(each.progress.state == DISABLED for each in listed.sinks)
        active = any(
            each.progress.state == ACTIVE and (each.kind == WEBHOOK or each.id in self._terms)
            for each in listed.sinks
        )
        if not (active or self._table.leases):
            return _IDLE_INTERVAL
        await self._claim(until=LEASE)
        self._start_forwarders(children)
        return _RENEWAL

    async def _declare(self) -> None:
        """Make the sinks of the settings; raises what the store raises."""
        if self._declared:
            return
        now_ms = self._clock.now_ms()
        for each in self._terms.values():
            command = DeclareSink(each.id, each.filter, each.batch_max, now_ms)
            await self._storage.ask(Write(command=command))
        self._declared = True

    async def _claim(self, until: float) -> None:
        """Take and renew leases for *until* more seconds."""
        now, now_ms = trio.current_time(), self._clock.now_ms()
        names = tuple(self._terms)
        command = ClaimSinks(self._node, now_ms, now_ms + round(until * 1000), names)
        try:
            claimed = await self._storage.ask(Write(command=command))
        except (StoreUnavailable, StoreFailed, ActorError):
            return
        self._table.hold(claimed.sinks, now + until)
        self._claimed = claimed.sinks

    def _start_forwarders(self, children: Supervisor) -> None:
        now = trio.current_time()
        for sink in self._claimed:
            # Of another revision it is another forwarder: the old one finds its lease gone.
            name = f"{sink.id}.{sink.revision}"
            if self._table.holds(sink, now) and children.find(name) is None:
                make = partial(self._make_forwarder, sink)
                children.spawn(name, make, capacity=1, policy=TEMPORARY)

    def _make_forwarder(self, sink: StoredSink) -> SinkForwarder:
        return SinkForwarder(
            sink,
            self._table,
            self._watch,
            self._storage,
            self._hand(sink),
            self._world,
            self._clock,
            node=self._node,
            epoch=self._epoch,
            disable_after=self._disable_after,
        )

    def _hand(self, sink: StoredSink) -> Hand:
        terms = self._terms.get(sink.id)
        if terms is None:
            opened, timing = self._table.secrets_of, self._table.timing
            return WebhookHand(sink, opened, self._outbound, self._world, self._epoch, timing)
        return BrokerHand(terms, self._epoch)
