"""The cluster under test: hosts on which nodes run, the services they share, and a balancer."""

from __future__ import annotations

from typing import Final

import trio

from simulation.world.balancer import Balancer
from simulation.world.chance import Chance
from simulation.world.channels import MAIL, PAGER, PUSH, SimulatedChannels
from simulation.world.destination import SimulatedDestination
from simulation.world.host import Host
from simulation.world.plan import Plan
from simulation.world.queue import SimulatedQueue
from simulation.world.receiver import URL, SimulatedReceiver
from simulation.world.services import SharedStore, SimulatedBroker
from simulation.world.surroundings import Surroundings, settings_of
from simulation.world.timeline import Timeline
from simulation.world.trace import Trace
from tocsin.persistence.store.escalation_commands import SetAddress
from tocsin.persistence.store.key_commands import ApiKey, CreateKey
from tocsin.persistence.store.sink_commands import CreateSink, StoredSink
from tocsin.protocol.receipts.receipt import BATCH_MAX, EVERYTHING
from tocsin.protocol.receipts.sink import Progress, Secret
from tocsin.protocol.receipts.webhook import SECRET_BYTES, new_secret
from tocsin.server.auth.keys import NewKey, generate_key

ADDRESSES: Final = (MAIL, "home"), (MAIL, "work"), (PUSH, "browser"), (PAGER, "main")
"""The addresses that a person may have: channels and names."""
_ADDRESSES: Final = 0.8
"""The share of them that people have from the beginning."""


class Cluster(Surroundings):
    """See the module. It knows no clients: those of a run are in `simulation.clients.cast`."""

    def __init__(self, plan: Plan, timeline: Timeline, trace: Trace, nursery: trio.Nursery) -> None:
        super().__init__(plan, timeline, trace, nursery)
        self.store = SharedStore(self.chance("store"), self.now_ms)
        patience = settings_of("any", plan).redis_timeout
        self.broker = SimulatedBroker(timeline, self.chance("broker"), patience)
        self.receiver = SimulatedReceiver(plan, timeline, self.chance("receiver"))
        self.channels = SimulatedChannels(plan, timeline, self.chance("channels"))
        self.queues = self._queues()
        self.destination = SimulatedDestination(plan, timeline, self.chance("destination"))
        sinks = (self.destination,) if plan.sink else ()
        outside = self.receiver, self.channels, self.queues, sinks
        self.hosts = {
            name: Host(name, self, self.store, self.broker, *outside) for name in plan.node_names
        }
        self.balancer = Balancer(self.hosts, timeline)

    def key(self, holder: str) -> str:
        """The API key of the producer *holder*."""
        return self._new_key(holder).text

    async def open(self) -> None:
        """Make all that must exist before a client comes: the store, and the producers' keys."""
        await self.store.open()
        new = [(holder, self._new_key(holder)) for holder in self.plan.producer_names]
        keys = [
            ApiKey(key.id, key.hash, ("notify", "admin"), holder, self.now_ms())
            for holder, key in new
        ]
        await self.store.write([CreateKey(key) for key in keys])
        if self.plan.escalations:
            await self.store.write(self._addresses())
        if self.plan.webhook:
            await self.store.write([CreateSink(self._webhook())])

    def balance(self, chance: Chance) -> Host | None:
        """The host to which the balancer sends a new connection; `None` if no host is up."""
        return self.balancer.choose(chance)

    def _queues(self) -> tuple[SimulatedQueue, ...]:
        """An ordered queue, and one for which the nodes compete; none if the plan uses none."""
        kinds = {"line": True, "crowd": False} if self.plan.queue else {}
        return tuple(
            SimulatedQueue(
                name, self.timeline, self.chance("queue", name), self.now_ms, ordered=ordered
            )
            for name, ordered in kinds.items()
        )

    def _addresses(self) -> list[SetAddress]:
        """Most people have an address on each channel, some two for mails."""
        chance = self.chance("addresses")
        return [
            SetAddress(user, channel, name, f"{user} {name}", f"{user} {name}", self.now_ms(), 16)
            for user in self.plan.user_names
            for channel, name in ADDRESSES
            if chance.happens(_ADDRESSES)
        ]

    def _webhook(self) -> StoredSink:
        return StoredSink(
            id="webhook",
            url=URL,
            secrets=(Secret(new_secret(self.chance("webhook").randbytes(SECRET_BYTES))),),
            filter=EVERYTHING,
            description="",
            batch_max=BATCH_MAX,
            progress=Progress(0),
            revision=0,
            created_at=self.now_ms(),
        )

    def _new_key(self, holder: str) -> NewKey:
        return generate_key(self.chance("key", holder).randbytes)
