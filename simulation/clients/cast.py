"""The cast: all clients of a run."""

from __future__ import annotations

import math

from simulation.clients.devices import Device
from simulation.clients.feeders import feeders_of
from simulation.clients.operators import Operator
from simulation.clients.producers import Producer
from simulation.clients.registrar import Registrar
from simulation.clients.users import User
from simulation.clients.worker import Worker
from simulation.world.cluster import Cluster


class Cast:
    """See the module; made from the cluster's plan.

    Producers, users and operators are *workers*. The checks are given the *devices*, whose screens
    they compare with the store.
    """

    def __init__(self, cluster: Cluster) -> None:
        plan = cluster.plan
        self.devices = [
            Device(cluster, user, f"d{number}")
            for user in plan.user_names
            for number in range(plan.devices)
        ]
        interval = plan.producers / plan.posts if plan.posts else math.inf
        producers = [Producer(cluster, name, interval) for name in plan.producer_names]
        pause = 1 / plan.actions if plan.actions else math.inf
        users = [
            User(cluster, name, [each for each in self.devices if each.user == name], pause)
            for name in plan.user_names
        ]
        operators = [Operator(cluster, 1 / plan.letters)] if plan.letters else []
        registrars = [Registrar(cluster)] if plan.escalations else []
        self.workers: list[Worker] = [
            *(*producers, *users, *operators, *feeders_of(cluster), *registrars)
        ]
