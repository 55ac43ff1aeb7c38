"""The check of holdings finds unexplained tasks when all is quiet, and the rest after a calm."""

from dataclasses import replace

import pytest
import trio

from simulation.bugs.mutation import Mutation
from simulation.checks.nodes.holdings import Holdings
from simulation.runs.simulator import simulate
from simulation.world.plan import Plan
from tocsin.actors.delivery.connections import Connections
from tocsin.actors.delivery.users import Users
from tocsin.actors.publishing.notifications import NotificationActor, Notifications
from tocsin.actors.publishing.topics import Topics, TopicsWorker

PLAN = Plan(
    seed=2,
    users=4,
    devices=1,
    duration=30.0,
    settling=5.0,
    bad_devices=1.0,
    subscriptions=0.4,
    topics=0.2,
)
CALM = replace(PLAN, calm=90.0)


def found(plan, owner, attribute, patch):
    """The violations of a run with this bug, as one text."""
    with Mutation(name="", owner=owner, attribute=attribute, patch=patch).applied():
        verdict = simulate(plan, checks=(Holdings,))
    return " ".join(str(each) for each in verdict.violations)


def does_nothing(_):
    return lambda *_: None


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_node_that_lets_go_of_everything_is_right(nodes):
    assert simulate(replace(CALM, nodes=nodes), checks=(Holdings,)).violations == ()


def test_a_users_actor_without_a_connection_is_not_explained():
    assert "who is not connected" in found(PLAN, Users, "retire", does_nothing)


def test_a_task_too_many_for_the_connections_is_not_explained():
    def twice(start):
        def start_two(self, serve):
            start(self, serve)
            start(self, trio.sleep_forever)

        return start_two

    told = found(PLAN, Connections, "start", twice)
    assert "settling" in told
    assert "tasks for" in told


def test_a_part_that_is_there_twice_is_not_explained():
    def twice(bring_all):
        async def bring_in_two_tasks(self):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever, name="/topics/bring_in_two_tasks")
                await bring_all(self)

        return bring_in_two_tasks

    assert "has 2 of /topics/bring_in_two_tasks" in found(PLAN, TopicsWorker, "_bring_all", twice)


def test_a_part_that_only_one_node_has_is_not_explained():
    def sometimes(bring_all):
        async def bring_unless_second(self):
            if len(names) == 1:
                names.append("second")
                return
            names.append("first")
            await bring_all(self)

        names = []
        return bring_unless_second

    assert "is made of other parts" in found(PLAN, TopicsWorker, "_bring_all", sometimes)


@pytest.mark.parametrize(
    ("owner", "attribute", "told"),
    [
        (Notifications, "answered", "idempotency keys in flight"),
        (Topics, "absent", "which has no subscriber here"),
    ],
)
def test_memory_that_should_have_been_let_go_is_found_after_a_calm(owner, attribute, told):
    assert told in found(CALM, owner, attribute, does_nothing)


def test_so_is_a_notification_that_nobody_has_anything_to_do_with():
    told = found(CALM, NotificationActor, "_rest", does_nothing)
    assert "actors for the notifications" in told
