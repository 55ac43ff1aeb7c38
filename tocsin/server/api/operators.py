"""The operators' half of the API: is it alive, is it ready, what does it do."""

from __future__ import annotations

import msgspec
from quart import Blueprint, Response

from tocsin.actors.runtime import Snapshot
from tocsin.protocol.closing import Closing
from tocsin.protocol.problems import refuse
from tocsin.protocol.values import is_identifier
from tocsin.server.api.requests import authenticate, check_query, json_answer, read_limit
from tocsin.server.diagnostics import METRICS_CONTENT_TYPE, render_metrics
from tocsin.server.services import Services

_ACTORS_DEFAULT, _ACTORS_MAX = 100, 10_000


def operators_blueprint(services: Services) -> Blueprint:
    """Routes that need the admin scope, but for those a load balancer asks."""
    routes = Blueprint("operators", __name__)

    @routes.get("/livez")
    async def livez() -> Response:
        return json_answer(b'{"status":"ok"}')

    @routes.get("/readyz")
    async def readyz() -> Response:
        readiness = services.readiness
        hops = {
            "store": "ok" if services.status.available else "lost",
            "node": "stopping" if readiness.stopping else "ok" if readiness.started else "starting",
        }
        ready = all(state == "ok" for state in hops.values())
        answer = {"status": "ok" if ready else "not_ready", "hops": hops}
        return json_answer(msgspec.json.encode(answer), 200 if ready else 503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        await _require_admin()
        return Response(render_metrics(services), content_type=METRICS_CONTENT_TYPE)

    @routes.get("/v1/admin/actors")
    async def actors() -> Response:
        await _require_admin()
        check_query("limit")
        limit = read_limit(_ACTORS_DEFAULT, _ACTORS_MAX)
        tree = [_actor(child) for child in services.snapshot(limit)]
        return json_answer(msgspec.json.encode({"node": services.settings.node, "actors": tree}))

    @routes.post("/v1/admin/users/<user>/disconnect")
    async def disconnect(user: str) -> Response:
        await _require_admin()
        check_query()
        if not is_identifier(user):
            raise refuse("not_found", "This cannot be a user's id.")
        services.users.disconnect(user, Closing.DISCONNECTED)
        return Response(b"", 204)

    async def _require_admin() -> None:
        principal = await authenticate(services.authenticator)
        principal.require_scope("admin")

    return routes


def _actor(snapshot: Snapshot) -> dict[str, object]:
    return {
        "path": snapshot.path,
        "mailbox": {"waiting": snapshot.waiting, "capacity": snapshot.capacity},
        "restarts": snapshot.restarts,
        "last_error": snapshot.last_error,
        "child_count": snapshot.child_count,
        "children": [_actor(child) for child in snapshot.children],
    }
