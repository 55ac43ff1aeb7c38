"""P6: when all is quiet, the tasks and entries of a node follow from the devices connected to it.

    one task for each part of the trunk, the same on each node
    one task for each connection that the node was not told has ended
    one actor for each connected user
    one actor for each notification that is not acknowledged by all, for a while (see `bounds`)

Some runs end with a time of calm. After it, a node must have no notification's actor and no
idempotency key in flight, and hear only those channels of the bus that concern connected users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from simulation.checks.check import Check
from simulation.world.destination import NAME
from simulation.world.host import Host
from simulation.world.node import Node
from simulation.world.scheduling import tasks_of_processes
from tocsin.actors.cluster.state import ClusterState
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.sinks.terms import id_of
from tocsin.protocol.cluster.envelopes import channel_topic, channel_user
from tocsin.protocol.notifications.notification import EVERYONE
from tocsin.server.services import Services

_CALM: Final = 80.0
"""Seconds of calm after which a notification's actor has given up waiting, and a node no longer
hears a channel that no user needs."""
_SOURCE_WATCH: Final = "ConnectorActor._watch"
_SWEPT: Final = 3.0
"""Seconds by which a node may be late to unsubscribe from such a channel."""


class Holdings(Check):
    """See the module."""

    def settled(self) -> str | None:
        parts: dict[str, list[str]] = {}
        for host in self.cluster.hosts.values():
            if host.node is None or (services := host.node.services) is None:
                return f"{host.name} is not up"
            parts[host.name] = []
            for wrong in self._unexplained(host, services, parts[host.name]):
                return f"{host.name} has {wrong}"
        first = next(iter(parts.values()))
        for name, found in parts.items():
            if found != first:
                differing = sorted({*found} ^ {*first})
                return f"{name} is made of other parts than the first: {differing}"
        return None

    def finish(self) -> None:
        if self.cluster.plan.calm < _CALM:
            return
        for host in self.cluster.hosts.values():
            if (node := host.node) is not None and node.services is not None:
                for what in self._forgotten(node, node.services):
                    self.violated("P6", host.name, f"still has {what}")

    # --- Inside ----------------------------------------------------------------------------------

    def _unexplained(self, host: Host, services: Services, parts: list[str]) -> Iterator[str]:
        """The tasks of *host* that nothing explains; its constant parts are appended to *parts*."""
        assert host.node is not None
        connections = 0
        for user in services.users.names():
            if not services.attendance.is_here(user):
                yield f"an actor for {user}, who is not connected"
        for task in tasks_of_processes(host.node.process):
            match task.split("/"):
                case ["", "connections", _]:
                    connections += 1
                case ["", "users" | "notifications", "attendant"]:
                    pass  # one task of a directory, from its first child on
                case ["", "sinks", name, *_] if name in self._sinks():
                    pass  # of the node that has its lease
                case [name] if name.endswith(_SOURCE_WATCH) and self.cluster.queues:
                    pass  # one for each queue that this node takes from
                case _:
                    parts.append(task)
        if connections > (held := host.held):
            yield f"{connections} tasks for {held} connections"
        for task, count in Counter(parts).items():
            if count > 1:
                yield f"{count} of {task}"

    def _sinks(self) -> tuple[str, ...]:
        plan = self.cluster.plan
        webhook = ("webhook.0",) if plan.webhook else ()
        return (*webhook, f"{id_of(NAME)}.0") if plan.sink else webhook

    def _forgotten(self, node: Node, services: Services) -> Iterator[str]:
        """Things that the node keeps for users who are not connected."""
        notifications = services.notifications
        present = services.users.names()
        if names := notifications.names():
            yield f"actors for the notifications {names}"
        keys, outstanding = notifications.snapshot()
        if keys:
            yield f"idempotency keys in flight: {sorted(keys)}"
        if outstanding:
            yield f"acknowledgments to wait for: {outstanding}"
        for what, kept in services.users.kept().items():
            if gone := [user for user in kept if user not in present]:
                yield f"{what} of {gone}, who are not connected"
        if isinstance(state := services.neighbours, ClusterState):
            yield from self._heard_for_nobody(state, node.topics, present)

    def _heard_for_nobody(
        self, state: ClusterState, topics: Topics, present: list[str]
    ) -> Iterator[str]:
        for channel, kept_until in state.channels.snapshot().items():
            if kept_until is not None and kept_until > self.now - _SWEPT:
                # A polling device comes and goes, and its channel is kept between two polls.
                continue
            user, topic = channel_user(channel), channel_topic(channel)
            if user is not None and user not in present:
                yield f"the channel of {user}, who is not connected"
            # A user who has left a topic counts as a member while connected: its notifications are
            # still in the inbox, and the node must hear of changes to them.
            members = [] if topic is None else topics.users_of(topic)
            if topic not in (None, EVERYONE) and not set(members) & set(present):
                yield f"the channel of {topic}, which has no subscriber here"
