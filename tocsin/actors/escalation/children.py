"""The actors of escalation, as children of a trunk; none where there are no channels."""

from __future__ import annotations

from functools import partial

from tocsin.actors.escalation.channel_worker import ChannelWorker
from tocsin.actors.escalation.configured import ChannelLine, ConfiguredChannels
from tocsin.actors.escalation.escalator import (
    Escalator,
    EscalatorMessage,
    PlanKnown,
    StoreReturned,
    tell_escalator,
)
from tocsin.actors.runtime.child import Child
from tocsin.actors.runtime.mailbox import Mailbox
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.restart import PARKED
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.actors.world import World

_CAPACITY = 4096  # messages: a transaction may commit a thousand notifications with plans


class EscalationActors:
    """The escalator and a worker for each of *channels*, of the node *name*."""

    def __init__(
        self,
        channels: ConfiguredChannels,
        storage: Ref[StorageMessage],
        world: World,
        clock: StoreClock,
        name: str,
    ) -> None:
        self.channels = channels
        self._storage = storage
        self._world = world
        self._clock = clock
        self._name = name
        self._escalator: Ref[EscalatorMessage] = Ref("/escalator", Mailbox(_CAPACITY))

    def children(self, stopped_by: float) -> tuple[Child, ...]:
        """The children, in their order, which have ended by this part of the drain time."""
        lines = self.channels.lines
        if not lines:
            return ()
        return (
            Child("escalator", self._make_escalator, stopped_by, PARKED, ref=self._escalator),
            *(
                Child(f"channel-{name}", partial(self._make_channel, line), stopped_by, PARKED)
                for name, line in lines.items()
            ),
        )

    def plan_known(self, at: int) -> None:
        """Tell the escalator of a step that is due *at* this time (Unix ms)."""
        if self.channels.lines:
            tell_escalator(self._escalator, PlanKnown(at))

    def store_changed(self, available: bool) -> None:
        """Have the escalator look if the store is back."""
        if available and self.channels.lines:
            tell_escalator(self._escalator, StoreReturned())

    def _make_escalator(self) -> Escalator:
        return Escalator(self.channels, self._storage, self._clock)

    def _make_channel(self, line: ChannelLine) -> ChannelWorker:
        # A name for each incarnation: what an earlier one has claimed is not this one's to settle.
        node = f"{self._name}/{self._world.entropy(4).hex()}"
        return ChannelWorker(line, node, self._storage, self._clock, self.channels.box)
