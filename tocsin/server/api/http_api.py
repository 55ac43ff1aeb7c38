"""The HTTP API as the door sees it: which operation, who asks, and for the hot ones the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
import structlog
import trio
from structlog.contextvars import unbind_contextvars

from tocsin.protocol.refusal import Refusal
from tocsin.server.admission.gate import Admission, Admissions, LimitReached
from tocsin.server.admission.limits import Limit
from tocsin.server.admission.refusals import (
    LINES_MAX,
    PERIOD,
    EdgeRefusal,
    Reason,
    known_method,
    reason_of,
)
from tocsin.server.admission.seldom import Seldom
from tocsin.server.api.cross_origin import cross_origin_lines, preflight
from tocsin.server.api.operation import Operation, Streamed
from tocsin.server.api.problems import problem_answer, refusal_of
from tocsin.server.api.routes import Routes
from tocsin.server.api.serving import Asked, identify_caller, known_caller, serve, whole
from tocsin.server.auth.errors import AuthCode, AuthError
from tocsin.server.auth.principal import Principal
from tocsin.server.follow.stream_refusal import (
    STREAM_HEADERS,
    STREAM_PATH,
    instead_of_problem,
    stream_goodbye,
)
from tocsin.server.http.application import TURNED_AWAY, About, Incoming, RequestPlan, Turned
from tocsin.server.http.response import Lasting, Whole
from tocsin.server.producing.publishing import Publishing
from tocsin.server.request_head import BadHead, RequestHead
from tocsin.server.services import Services

logger = structlog.get_logger(__name__)

_NOTHING_MAX: Final = 1024
"""Bytes of a body that says nothing, such as `{}`."""
_PLAIN_NAMES: Final = {ord("{"): None, ord("}"): None}
_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_ALWAYS: Final = frozenset(("/livez", "/readyz"))
"""The probes of a supervisor or a balancer: answered also when the node is full."""
_OF_ANOTHER: Final = {
    AuthCode.TOKEN_SIGNATURE,
    AuthCode.TOKEN_KEY_UNKNOWN,
    AuthCode.KEY_UNKNOWN,
}
"""Codes of a credential that belongs to another server, or to another data directory."""
_TURNED: Final[Mapping[Turned, Reason | Limit]] = {
    Turned.FULL: Reason.FULL,
    Turned.CROWDED: Limit.PEER_CONNECTIONS,
    Turned.DRAINING: Reason.DRAINING,
}


class HttpApi:
    """`tocsin.server.http.application.Application` for *operations*."""

    def __init__(
        self,
        operations: Iterable[Operation],
        services: Services,
        publishing: Publishing,
        check_websocket: Callable[[RequestHead], None],
        admissions: Admissions,
        is_our_host: Callable[[str | None], bool],
    ) -> None:
        operations = tuple(operations)
        self._services = services
        self._publishing = publishing
        self._check_websocket = check_websocket
        self._admissions = admissions
        self._is_our_host = is_our_host
        self._routes = Routes(operations)
        self._refused = Seldom(LINES_MAX, PERIOD)
        self._plans = {operation.name: self._plan(operation) for operation in operations}

    def address_of(self, peer: str, head: RequestHead) -> str:
        """The client's address: *peer*, or whom a proxy that is believed names."""
        return self._admissions.address_of(peer, head)

    def admit(self, peer: str, head: RequestHead) -> Admission:
        """Count it for its address. Raises `LimitReached`, `EdgeRefusal` for a foreign Host."""
        admission = self._admissions.admit(peer, head)
        if not self._is_our_host(head.headers.get("host")):
            admission.release()
            raise EdgeRefusal(Reason.HOST, "forbidden", "The Host header names another server.")
        return admission

    def find(self, head: RequestHead) -> RequestPlan | Whole:
        """The operation's plan; preflights and other OPTIONS are answered at once."""
        if head.method == "OPTIONS":
            return self._options(head)
        operation, values = self._routes.find(head.method, head.raw_path)
        plan = self._plans[operation.name]
        return msgspec.structs.replace(plan, values=values) if values else plan

    def check_websocket(self, head: RequestHead) -> None:
        """Raise `Refused` where the origin, the path or the subprotocol is wrong."""
        self._check_websocket(head)

    def known(self, plan: RequestPlan, head: RequestHead) -> Principal | None:
        """The principal of a credential that was seen before."""
        authorization = head.headers.get("authorization")
        return known_caller(plan.operation, self._services.authenticator, authorization)

    async def identify(self, plan: RequestPlan, head: RequestHead) -> Principal:
        """The principal; may wait for the store. Cancelled, a ticket may have been spent."""
        operation: Operation = plan.operation
        ticket = head.query_values().get("ticket") if operation.ticket else None
        return await identify_caller(
            operation, self._services.authenticator, head.headers.get("authorization"), ticket
        )

    async def answer(self, incoming: Incoming) -> Whole | Lasting:
        """Do what is asked. Cancelled, it may have been done."""
        if self._services.timing.is_tracing:
            unbind_contextvars("trace_id", "span_id")  # of the connection's request before
        operation: Operation = incoming.plan.operation
        answer = await serve(operation, self._services, self._publishing, asked_of(incoming))
        if isinstance(answer, Streamed):
            headers = tuple(answer.headers.items())
            return Lasting(answer.body, operation.produces, headers, answer.direct)
        return whole(operation, answer)

    def refusal(self, error: Exception, about: About) -> Whole:
        """A problem; the operator can see that it was given."""
        with structlog.contextvars.bound_contextvars(request_id=about.request_id):
            refusal = self._with_hint(refusal_of(error), about.head)
        answer = problem_answer(refusal)
        reason = _reason(error, answer.status, about.head)
        if reason is not None:
            self._note(reason, answer.status, about)
        elif (left_out := self._refused.due(trio.current_time())) is not None:
            # The client's own trouble, but whoever helps them will look here.
            logger.info(
                "request refused",
                status=answer.status,
                method=None if about.head is None else known_method(about.head.method),
                route=about.route,
                request_id=about.request_id,
                left_out=left_out,
            )
        return self._to_a_stream(refusal, answer) if about.route == STREAM_PATH else answer

    def _with_hint(self, refusal: Refusal, head: RequestHead | None) -> Refusal:
        """*refusal* with the data directory, for a request that comes straight from this machine.

        A credential of another directory is usually that of a command that was called elsewhere.
        """
        data_told = self._services.settings.data_told
        if data_told is None or refusal.code not in _OF_ANOTHER:
            return refusal
        if head is None or any(name in head.headers for name in _OF_PROXIES):
            return refusal
        detail = f"{refusal.detail} This server keeps its data in {data_told}."
        return msgspec.structs.replace(refusal, detail=detail)

    def turned_away(self, why: Turned, plan: RequestPlan, about: About) -> Whole:
        """When to come back."""
        refusal = TURNED_AWAY[why]
        self._note(_TURNED[why], refusal.closing, about)
        if plan.path == STREAM_PATH:
            return _on_a_stream(stream_goodbye(refusal.closing, refusal.after, refusal.detail))
        return problem_answer(refusal)

    def _to_a_stream(self, refusal: Refusal, answer: Whole) -> Whole:
        """*refusal* in the way that an EventSource can hear; else *answer*, its problem."""
        body = instead_of_problem(
            refusal,
            stopping=self._services.readiness.stopping,
            random=self._services.world.random(),
        )
        return answer if body is None else _on_a_stream(body)

    def _note(self, reason: Reason | Limit, status: int, about: About) -> None:
        self._services.refusals.note(
            reason,
            address=about.address,
            status=status,
            method=None if about.head is None else about.head.method,
            route=about.route or None,
            request_id=about.request_id,
        )

    @property
    def notes_answers(self) -> bool:
        """Only where an access log is asked for."""
        return self._services.settings.access_log

    def answered(self, about: About, status: int, seconds: float) -> None:
        """A line of the access log: what was asked by route, without what the client wrote."""
        head = about.head
        logger.info(
            "answered",
            method=None if head is None else known_method(head.method),
            route=about.route,
            status=status,
            seconds=round(seconds, 6),
            address=about.address,
            request_id=about.request_id,
        )

    def extra_headers(self, head: RequestHead) -> str:
        """Those of CORS."""
        return cross_origin_lines(head, self._services.settings.origins)

    def _options(self, head: RequestHead) -> Whole:
        answer = preflight(head, self._services.settings.origins)
        if answer is not None:
            return answer
        methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        if head.target != "*":
            methods = self._routes.methods(head.raw_path)
        return Whole(204, None, headers=(("Allow", ", ".join(methods)),))

    def _plan(self, operation: Operation) -> RequestPlan:
        settings = self._services.settings
        if operation.streamed:
            bytes_max = settings.batch_bytes_max
        elif operation.body is None:
            bytes_max = _NOTHING_MAX
        else:
            bytes_max = min(
                operation.body_bytes_max or settings.body_bytes_max, settings.body_bytes_max
            )
        return RequestPlan(
            body_bytes_max=bytes_max,
            lean=operation.lean,
            streamed=bool(operation.streamed),
            lasts=operation.acts,
            always=operation.path in _ALWAYS,
            # The names in a path have been read already; Quart need only find its view.
            path=operation.path.translate(_PLAIN_NAMES),
            operation=operation,
            values={},
        )


def asked_of(incoming: Incoming, body: bytes | None = None) -> Asked:
    """The call that *incoming* makes, free of HTTP; *body* where another has read it."""
    head = incoming.head
    query: dict[str, list[str]] = {}
    if head.query:
        for name, value in head.query_fields():
            query.setdefault(name, []).append(value)
    return Asked(
        principal=incoming.principal,
        path=incoming.plan.values,
        query=query,
        header=head.headers.get,
        body=incoming.body if body is None else body,
        address=incoming.address,
        request_id=incoming.request_id,
    )


def _on_a_stream(body: bytes) -> Whole:
    headers = tuple(each for each in STREAM_HEADERS if each[0] != "Content-Type")
    return Whole(200, body, "text/event-stream", headers)


def _reason(error: Exception, status: int, head: RequestHead | None) -> Reason | Limit | None:
    """Why *error* was answered, if that is something to be counted."""
    match error:
        case LimitReached(excess=excess):
            return excess.limit
        case EdgeRefusal(reason=reason):
            return reason
        case BadHead(status=400) if head is None:
            return Reason.MALFORMED_HEAD
        case BadHead(status=426):
            return Reason.HANDSHAKE
        case BadHead(refusal=refusal):
            return reason_of(status, refusal.code)
        case AuthError():
            return reason_of(status, "")
        case _:
            return None
