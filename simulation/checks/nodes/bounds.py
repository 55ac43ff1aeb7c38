"""P6: the memory of a node is bounded by the number of connected devices and live notifications.

This check looks into the nodes for actors, ledger lines and entries that are kept too long. An
actor that should have ended is given some seconds, without any trouble of the node or the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from simulation.checks.check import SETTINGS, Check
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from tocsin.actors.storage.ledger import LINES_MAX, Ledger
from tocsin.server.services import Services

_LINGERS: Final = 10.0
"""Seconds for which the actor of a user may live on after the user's last connection."""
_NOTIFICATION_LIVES: Final = 75.0
"""The longest life of a notification's actor in seconds: a minute, and some slack."""

_Key = tuple[str, int, str]
"""A node, the number of its process, and the user or notification whose actor it is."""


class Bounds(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._idle_since: dict[_Key, float] = {}
        self._live_since: dict[_Key, float] = {}

    def answered(self, request: RequestStory) -> None:
        if request.operation == "poll_changes":
            # A poll was a connection, though each look may have come between two of them.
            user = request.who.partition("/")[0]
            for key in [each for each in self._idle_since if each[2] == user]:
                self._idle_since[key] = self.now
        # A request about a notification lets its actor live for another minute; a post that
        # collapses with an earlier one is about that.
        touched = request.path.get("notification")
        if touched is None and isinstance(request.answer, dict):
            touched = request.answer.get("id")
        for key in [each for each in self._live_since if each[2] == touched]:
            self._live_since[key] = self.now

    def look(self) -> None:
        idle: list[_Key] = []
        live: list[_Key] = []
        for name, host in self.cluster.hosts.items():
            node = host.node
            if node is None or (services := node.services) is None or node.process.is_stopped:
                continue
            process = host.process_number
            idle += ((name, process, user) for user in _idle_users(services))
            live += ((name, process, each) for each in services.notifications.names())
            self._look_at_buffers(name, services, node.ledger)
        self._idle_since = self._since(idle, self._idle_since)
        self._live_since = self._since(live, self._live_since)
        self._judge(self._idle_since, _LINGERS, "has an actor, and no connection,")
        self._judge(self._live_since, _NOTIFICATION_LIVES, "has an actor")

    # --- Inside ----------------------------------------------------------------------------------

    def _since(self, now: Iterable[_Key], before: dict[_Key, float]) -> dict[_Key, float]:
        time = self.now
        return {key: before.get(key, time) for key in now}

    def _judge(self, since: dict[_Key, float], most: float, what: str) -> None:
        time = self.now
        for (host, process, name), began_at in since.items():
            is_long = time - began_at > most
            if is_long and not self.history.troubles.touch(began_at, self.now, host, "store"):
                self.violated("P6", f"{host}#{process}", f"{name} {what} since {began_at:.3f}")

    def _look_at_buffers(self, host: str, services: Services, ledger: Ledger) -> None:
        waiting = len(ledger.waiting)
        if waiting > LINES_MAX:
            self.violated("P6", host, f"{waiting} lines of the ledger wait")
        connections = len(services.connections)
        if connections > SETTINGS.connections_max:
            self.violated("P6", host, f"{connections} connections are served")
        for what, users in services.users.kept().items():
            if len(users) > len(services.users):
                self.violated("P6", host, f"{what} of {len(users)} users, more than there are")


def _idle_users(services: Services) -> list[str]:
    attendance = services.attendance
    return [user for user in services.users.names() if not attendance.is_here(user)]
