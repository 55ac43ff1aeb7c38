"""What a node holds when all is quiet follows from who is there (P6): no task and no entry more.

    one task for each part of it, the same on each node
    one for each connection that it was not told is over
    one actor for each user who is connected
    one for each notification that not everybody has acknowledged, for a while (see `bounds`)

After some time of calm, in a run that has such, there is no notification left, no idempotency key
is in flight, and of the bus a node hears what concerns those who are there, and nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from simulation.checks.check import Check
from simulation.world.cluster import Host
from simulation.world.node import Node
from simulation.world.scheduling import tasks_of_processes
from tocsin.actors.cluster.state import ClusterState
from tocsin.actors.publishing.topics import Topics
from tocsin.protocol.envelopes import channel_topic, channel_user
from tocsin.protocol.notification import EVERYONE
from tocsin.server.services import Services

_CALM: Final = 80.0
"""Seconds after which a notification's actor has lost its patience, and a channel nobody needs is
heard no more."""
_SWEPT: Final = 3.0
"""Seconds after its time by which such a channel is heard no more."""


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
        """What of its tasks nothing explains; its constant parts are put into *parts*."""
        assert host.node is not None
        connections = 0
        for user in services.users.names():
            if not services.attendance.is_here(user):
                yield f"an actor for {user}, who is not here"
        for task in tasks_of_processes(host.node.process):
            match task.split("/"):
                case ["", "connections", _]:
                    connections += 1
                case ["", "users" | "notifications", "attendant"]:
                    pass  # of their actors, once there has been one
                case _:
                    parts.append(task)
        if connections > (held := host.held):
            yield f"{connections} tasks for {held} connections"
        for task, count in Counter(parts).items():
            if count > 1:
                yield f"{count} of {task}"

    def _forgotten(self, node: Node, services: Services) -> Iterator[str]:
        """What it holds for nobody."""
        notifications = services.notifications
        present = services.users.names()
        if names := notifications.names():
            yield f"actors for the notifications {names}"
        if notifications._keys:
            yield f"idempotency keys in flight: {sorted(notifications._keys)}"
        if notifications._outstanding:
            yield f"acknowledgments to wait for: {notifications._outstanding}"
        for what, kept in services.users.kept().items():
            if gone := [user for user in kept if user not in present]:
                yield f"{what} of {gone}, who are not here"
        if isinstance(state := services.neighbours, ClusterState):
            yield from self._heard_for_nobody(state, node.topics, present)

    def _heard_for_nobody(
        self, state: ClusterState, topics: Topics, present: list[str]
    ) -> Iterator[str]:
        for channel, until in state.channels.held().items():
            if self.now - _SWEPT < until < math.inf:
                continue  # Somebody who polls comes and goes.
            user, topic = channel_user(channel), channel_topic(channel)
            if user is not None and user not in present:
                yield f"the channel of {user}, who is not here"
            # Who has left a topic is still told what becomes of what it brought.
            members = [] if topic is None else topics.users_of(topic)
            if topic not in (None, EVERYONE) and not set(members) & set(present):
                yield f"the channel of {topic}, which nobody here is in"
