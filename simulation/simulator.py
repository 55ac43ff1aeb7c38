"""One run, from its seed to its verdict."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from simulation.cluster import Cluster
from simulation.devices import Device
from simulation.plan import Plan
from simulation.producers import Producer
from simulation.scheduling import run
from simulation.timeline import Timeline
from simulation.trace import Trace


@dataclass(frozen=True, slots=True)
class Verdict:
    plan: Plan
    trace: Trace


def simulate(plan: Plan) -> Verdict:
    """Run *plan* to its end."""
    timeline, trace = Timeline(), Trace()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            cluster = Cluster(plan, timeline, trace, nursery)
            await cluster.store.open()
            _Run(cluster).begin()
            await timeline.run()
            nursery.cancel_scope.cancel()

    run(f"{plan.seed}/order", timeline, main)
    return Verdict(plan, trace)


class _Run:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        plan = cluster.plan
        self._devices = [
            Device(cluster, user, f"d{number}")
            for user in plan.user_names
            for number in range(plan.devices)
        ]
        interval = plan.producers / plan.posts
        self._producers = [
            Producer(cluster, f"p{number}", interval) for number in range(plan.producers)
        ]

    def begin(self) -> None:
        cluster = self._cluster
        for host in cluster.hosts.values():
            host.start()
        for device in self._devices:
            cluster.timeline.at(1.0 + device.chance.random(), device.come)
        for producer in self._producers:
            cluster.timeline.at(2.0, producer.begin)
        cluster.timeline.at(cluster.plan.duration, cluster.timeline.end)
