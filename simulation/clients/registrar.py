"""A backend that knows where people are: it sets and removes their addresses on channels."""

from __future__ import annotations

import math
from typing import Final

from simulation.clients.requests import Question, Requester
from simulation.clients.worker import Worker
from simulation.world.cluster import ADDRESSES, Cluster

_INTERVAL: Final = 4.0
"""Seconds between two changes, on average."""
_REMOVED: Final = 0.25
"""The share of removals."""


class Registrar(Worker):
    """See the module; idle where the plan has no escalations."""

    def __init__(self, cluster: Cluster) -> None:
        name = "registrar"
        plan = cluster.plan
        interval = _INTERVAL if plan.escalations and plan.users else math.inf
        super().__init__(cluster, name, cluster.chance(name), interval)
        token = cluster.token(name, "notify")
        self._requester = Requester(cluster, name, token, cluster.chance("network", name))

    def _act(self) -> None:
        user = self.chance.one(self.cluster.plan.user_names)
        channel, name = self.chance.one(ADDRESSES)
        path = {"user": user, "channel": channel, "name": name}
        if self.chance.happens(_REMOVED):
            question = Question(operation="remove_address", path=path)
        else:
            body = {"address": f"{user} {name}"}
            question = Question(operation="set_address", path=path, body=body)
        self._ask(self._requester, question)
        self._pause()
