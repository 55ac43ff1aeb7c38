"""The operators' part of the API: is it alive, is it ready, what does it do."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from tocsin.actors.runtime import Snapshot
from tocsin.protocol.closing import Closing
from tocsin.server.api import answers
from tocsin.server.api.operation import NO_CONTENT, Answer, Call, Caller, Operations, Query
from tocsin.server.diagnostics import METRICS_CONTENT_TYPE, render_metrics

operations = Operations("operators")


class ActorsQuery(Query, frozen=True, kw_only=True):
    """How much of the tree."""

    limit: Annotated[int, Meta(ge=1, le=10_000, description="Children per supervisor.")] = 100


@operations.define(
    *("GET", "/livez", "Is the process alive?"),
    caller=Caller.ANYONE,
    answers={200: answers.Alive},
)
async def livez(call: Call[Query, None]) -> Answer:
    """It is if it answers."""
    return Answer(answers.Alive())


@operations.define(
    *("GET", "/readyz", "Does this node want work?"),
    caller=Caller.ANYONE,
    answers={200: answers.Readiness, 503: answers.Readiness},
)
async def readyz(call: Call[Query, None]) -> Answer:
    """With each hop by name: 503 while one is lost, or the node is starting or stopping."""
    readiness = call.services.readiness
    hops: dict[str, answers.Hop] = {
        "store": "ok" if call.services.status.available else "lost",
        "node": "stopping" if readiness.stopping else "ok" if readiness.started else "starting",
    }
    ready = all(state == "ok" for state in hops.values())
    answer = answers.Readiness(status="ok" if ready else "not_ready", hops=hops)
    return Answer(answer, 200 if ready else 503)


@operations.define(
    *("GET", "/metrics", "Show the metrics"),
    caller=Caller.ADMIN,
    answers={200: str},
    produces=METRICS_CONTENT_TYPE,
)
async def metrics(call: Call[Query, None]) -> Answer:
    """In the text format of Prometheus."""
    return Answer(render_metrics(call.services))


@operations.define(
    *("GET", "/v1/admin/actors", "Show the supervision tree of this node"),
    caller=Caller.ADMIN,
    query=ActorsQuery,
    answers={200: answers.ActorTree},
)
async def show_actors(call: Call[ActorsQuery, None]) -> Answer:
    """What waits in each actor's mailbox, how often it was restarted, and why."""
    tree = [_actor(child) for child in call.services.snapshot(call.query.limit)]
    return Answer(answers.ActorTree(node=call.services.settings.node, actors=tree))


@operations.define(
    *("POST", "/v1/admin/users/{user}/disconnect", "End a user's connections"),
    caller=Caller.ADMIN,
    answers={204: None},
)
async def disconnect_user(call: Call[Query, None], user: str) -> Answer:
    """All of them; they are told that an operator did it, and do not come back by themselves."""
    call.services.users.disconnect(user, Closing.DISCONNECTED)
    return NO_CONTENT


def _actor(snapshot: Snapshot) -> answers.ActorLine:
    return answers.ActorLine(
        path=snapshot.path,
        mailbox=answers.Mailbox(waiting=snapshot.waiting, capacity=snapshot.capacity),
        restarts=snapshot.restarts,
        last_error=snapshot.last_error,
        child_count=snapshot.child_count,
        children=[_actor(child) for child in snapshot.children],
    )
