"""Every kind of actor crashes in some run, and a node survives each of these crashes."""

from dataclasses import replace

import pytest

from simulation.faults.schedule import CRASHING, CRASHING_CHANNELS, Fault
from simulation.runs.simulator import simulate
from simulation.world.crashes import PLACES
from simulation.world.plan import Plan
from tocsin import trunk
from tocsin.actors.delivery.user import UserActor
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.publishing.notifications import NotificationActor
from tocsin.actors.runtime.supervisor import Actor

PLAN = Plan(
    seed=4,
    nodes=2,
    users=8,
    producers=6,
    posts=6.0,
    sockets=1.0,
    bad_devices=1.0,
    disconnections=0.1,
    queue=2.0,
    duration=15.0,
)
AWAY = Fault(at=6.0, kind="store_away", lasts=4.0, how="refuses")
STOPPED = Fault(at=11.0, kind="restarted", target="a", lasts=30.0)


def test_all_actors_of_the_trunk_may_fail():
    actors = {
        each
        for each in vars(trunk).values()
        if isinstance(each, type)
        and issubclass(each, Actor)
        and not issubclass(each, DirectoryKeeper)
    }
    failing = {kind for places in PLACES.values() for kind, _ in places}
    assert actors | {UserActor, NotificationActor} <= failing
    assert {*CRASHING, *CRASHING_CHANNELS} == set(PLACES)


@pytest.mark.parametrize("actor", PLACES)
def test_a_node_survives_that_somebody_fails(actor):
    crash = Fault(at=4.0, kind="crash", target="a", lasts=11.0, nth=1, how=actor)

    # Without a webhook, the keeper of the sinks has nothing to look after.
    plan = replace(PLAN, webhook=1.0) if actor == "Sinks" else PLAN
    if actor in CRASHING_CHANNELS:
        plan = replace(PLAN, escalations=0.7, settling=600.0)
    verdict = simulate(plan, (crash, AWAY, STOPPED))

    assert verdict.violations == ()
    # A connector ends its source, and not itself.
    told = ("actor failed", "frame failed", "connector failed")
    assert any(line.what.endswith(told) and line.who == "a" for line in verdict.trace.lines())
