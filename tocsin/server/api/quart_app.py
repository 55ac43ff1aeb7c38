"""The HTTP API as a Quart application: the views of what is not answered by the door itself.

A request that comes here was let in by the door (`http.connection`): the operation was found, its
caller is known, the body is bounded. A view reads the body, has the operation served, and makes a
response of the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import structlog
from quart import Quart, Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from tocsin.protocol.refusal import refuse
from tocsin.server.api.http_api import asked_of
from tocsin.server.api.operation import Answer, Operation
from tocsin.server.api.problems import problem_answer
from tocsin.server.api.serving import serve, whole
from tocsin.server.http.application import About
from tocsin.server.http.asgi_lane import incoming_of
from tocsin.server.http.response import Whole
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

logger = structlog.get_logger(__name__)


def make_quart_app(
    operations: Iterable[Operation],
    services: Services,
    publishing: Publishing,
    refusal: Callable[[Exception, About], Whole],
) -> QuartTrio:
    """Routes for those of *operations* that are not lean; *refusal* answers what they raise."""
    app = QuartTrio("tocsin")
    # How large a body may be and how long it may take has been seen to before it gets here.
    app.config["MAX_CONTENT_LENGTH"] = None
    app.config["BODY_TIMEOUT"] = None
    app.url_map.merge_slashes = False  # or `//` is redirected, in HTML
    for operation in operations:
        if not operation.lean:
            app.add_url_rule(
                operation.path.replace("{", "<").replace("}", ">"),
                operation.name,
                _view(operation, services, publishing),
                methods=[operation.method],
                provide_automatic_options=False,
            )
    _register_error_handlers(app, refusal)
    return app


def _view(
    operation: Operation, services: Services, publishing: Publishing
) -> Callable[..., Awaitable[Response]]:
    async def view(**_path: str) -> Response:
        incoming = incoming_of(request.scope)
        body = b"" if operation.method == "GET" else await request.get_data()
        assert isinstance(body, bytes)
        with structlog.contextvars.bound_contextvars(request_id=incoming.request_id):
            answer = await serve(operation, services, publishing, asked_of(incoming, body))
        assert isinstance(answer, Answer), "what lasts is lean"
        return _response(whole(operation, answer))

    return view


def _response(answer: Whole) -> Response:
    response = Response(answer.body or b"", answer.status)
    if answer.body is None:
        del response.headers["Content-Type"]
    else:
        response.headers["Content-Type"] = answer.content_type
    response.headers.extend(answer.headers)
    return response


def _register_error_handlers(app: Quart, refusal: Callable[[Exception, About], Whole]) -> None:
    @app.errorhandler(HTTPException)
    async def on_http(error: HTTPException) -> Response:
        # Quart's own: nothing that was let in raises one, so it says something of our routes.
        code = "not_found" if error.code == 404 else "malformed"
        refused = refuse(code, error.description or "")
        return _response(problem_answer(refused.refusal))

    @app.errorhandler(Exception)
    async def on_error(error: Exception) -> Response:
        incoming = incoming_of(request.scope)
        about = About(incoming.head, incoming.request_id, incoming.address, incoming.plan.path)
        return _response(refusal(error, about))
