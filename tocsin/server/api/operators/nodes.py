"""The operators' part of the API: is it alive, is it ready, what does it do."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.snapshot import Snapshot
from tocsin.persistence.store.key_commands import RevokeTickets
from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import refuse
from tocsin.server.api import answers
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import (
    NO_CONTENT,
    Answer,
    Call,
    Caller,
    Header,
    Operations,
    UrlQuery,
    given,
)
from tocsin.server.metrics.media_types import (
    METRICS_CONTENT_TYPE,
    OPENMETRICS,
    OPENMETRICS_CONTENT_TYPE,
)
from tocsin.server.services import Services

operations = Operations("operators")
_ACCEPT: Final = Header("Accept", "The media types that the caller can read.")


class ActorsQuery(UrlQuery, frozen=True, kw_only=True):
    """How much of the tree."""

    limit: Annotated[int, Meta(ge=1, le=10_000, description="Children per supervisor.")] = 100
    node: (
        Annotated[str, Meta(min_length=1, max_length=128, description="Which node; this one.")]
        | UnsetType
    ) = UNSET


@operations.define(
    *("GET", "/livez", "Is the process alive?"),
    caller=Caller.ANYONE,
    answers={200: answers.Alive},
    lean=True,
)
async def livez(call: Call[UrlQuery, None]) -> Answer:
    """It is if it answers."""
    return Answer(answers.Alive())


@operations.define(
    *("GET", "/readyz", "Does this node want work?"),
    caller=Caller.ANYONE,
    answers={200: answers.Readiness, 503: answers.Readiness},
    lean=True,
)
async def readyz(call: Call[UrlQuery, None]) -> Answer:
    """With each hop by name; 503 while it can do nothing for anybody, or is starting or stopping.

    `degraded`, with 200, is a node that does its work late. The bus is usually lost for all nodes
    at once, and then they deliver a second late; the store too, and then posts go to the spool. To
    take such nodes away would turn lateness into an outage.
    """
    services = call.services
    readiness, spooler = services.readiness, services.spooler
    hops: dict[str, answers.Hop] = {
        "store": _store_hop(services.status),
        "bus": "ok" if services.bus.available else "lost",
        "node": "stopping" if readiness.stopping else "ok" if readiness.started else "starting",
    }
    if spooler is not None:
        hops["spool"] = "ok" if spooler.reachable else "lost"
    if services.connectors:
        healthy_ones = all(each.is_healthy for each in services.connectors.all)
        hops["connectors"] = "ok" if healthy_ones else "lost"
    useful = hops["store"] == "ok" or (hops["store"] == "lost" and hops.get("spool") == "ok")
    useful = useful and hops["node"] == "ok"
    reason = services.status.reason or UNSET
    if not useful:
        return Answer(answers.Readiness(status="not_ready", hops=hops, reason=reason), 503)
    healthy = all(state == "ok" for state in hops.values())
    status: answers.Health = "ok" if healthy else "degraded"
    return Answer(answers.Readiness(status=status, hops=hops, reason=reason))


@operations.define(
    *("GET", "/metrics", "Show the metrics"),
    caller=Caller.ADMIN,
    headers=(_ACCEPT,),
    answers={200: str},
    produces=METRICS_CONTENT_TYPE,
)
async def metrics(call: Call[UrlQuery, None]) -> Answer:
    """In the text format of Prometheus; in that of OpenMetrics, with exemplars, if it is asked for
    and the node makes traces.
    """
    # Here, and not above: many nodes are never asked.
    from tocsin.server.metrics.exposition import render_metrics, render_openmetrics

    services = call.services
    if services.timing.is_tracing and OPENMETRICS in (call.headers[_ACCEPT.name] or ""):
        return Answer(render_openmetrics(services), media_type=OPENMETRICS_CONTENT_TYPE)
    return Answer(render_metrics(services))


@operations.define(
    *("GET", "/v1/admin/actors", "Show the supervision tree of a node"),
    caller=Caller.ADMIN,
    query=ActorsQuery,
    problems=("not_found", "bus_unavailable"),
    answers={200: answers.ActorTree},
)
async def show_actors(call: Call[ActorsQuery, None]) -> Answer:
    """The messages that wait in each actor's mailbox, how often it was restarted, and why.

    Of this node, or of another one of the cluster, which is asked and has three seconds.
    """
    services, here = call.services, call.services.settings.node
    node = given(call.query.node) or here
    tree = await _tree_of(services, node, call.query.limit)
    nodes = sorted((here, *services.neighbours.heard))
    actors = [_actor(child) for child in tree]
    return Answer(answers.ActorTree(node=node, nodes=nodes, actors=actors))


@operations.define(
    *("POST", "/v1/admin/users/{user}/disconnect", "End a user's connections"),
    caller=Caller.ADMIN,
    answers={204: None},
)
async def disconnect_user(call: Call[UrlQuery, None], user: str) -> Answer:
    """On all nodes; they are told that an operator did it, and do not come back by themselves.

    Their tickets are revoked as well: `503` says that this could not be done now, the rest was.
    """
    with audited(call, "user disconnected", user=user):
        try:
            # First, or a stream could come back by its ticket before that is gone.
            await call.services.write(RevokeTickets(user))
        finally:
            call.services.users.disconnect(user, Closing.DISCONNECTED)
            call.services.neighbours.disconnect(user)
    return NO_CONTENT


async def _tree_of(services: Services, node: str, limit: int) -> tuple[Snapshot, ...]:
    if node == services.settings.node:
        return services.snapshot(limit)
    if node not in services.neighbours.heard:
        raise refuse("not_found", "No node of this name is heard.")
    tree = await services.neighbours.actors_of(node, limit)
    if tree is None:
        raise refuse("bus_unavailable", "That node does not answer.")
    return tree


def _store_hop(status: StoreStatus) -> answers.Hop:
    if status.available:
        return "ok"
    # A node that has just begun is not to spool what it could store a moment later.
    return "lost" if status.epoch or status.statistics.failures else "starting"


def _actor(snapshot: Snapshot) -> answers.ActorLine:
    return answers.ActorLine(
        path=snapshot.path,
        mailbox=answers.Mailbox(waiting=snapshot.waiting, capacity=snapshot.capacity),
        restarts=snapshot.restarts,
        last_error=snapshot.last_error,
        child_count=snapshot.child_count,
        children=[_actor(child) for child in snapshot.children],
    )
