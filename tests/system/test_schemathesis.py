"""Requests made from the OpenAPI document itself, and answers held to it.

Some of them are what the document allows, some what it does not, and some are about things that
there are. The server answers each of them in one of the ways that its document lists, and never
with a fault of its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import BaseSchema, Case, CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from servers.node import PATIENCE, wait_until
from servers.tokens import ADMIN, PRODUCER, bearer, token
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server
from tests.system.shared_servers_kit import Store, run_server
from tocsin.protocol.user_ids import is_user_id
from tocsin.server.api.all_operations import OPERATIONS
from tocsin.server.api.operation import Caller, Operation

EXAMPLES: Final = 30
"""Requests for each operation: about ten seconds for all, on each of the two stores."""
USER: Final = "schema"
CHECKS: Final[list[CheckFunction]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
CREDENTIALS: Final = {
    Caller.ANYONE: {},
    Caller.USER: bearer(token(USER, "", 86_400)),
    Caller.NOTIFY: bearer(PRODUCER),
    Caller.ADMIN: bearer(ADMIN),
}
# Which cursors, times, time zones and channels are good, no document can say.
DEPENDS_ON_FACTS: Final = {
    *("publish", "update_notification", "mark", "poll_changes", "acknowledge"),
    *("set_preferences", "register_browser", "set_address"),
    *("poll_receipts", "create_webhook", "change_webhook"),
}
# Lines of text are text, whatever they were made from.
TAKES_ANY_TEXT: Final = {"publish_batch"}
# A stream has no end to wait for; it has tests of its own.
ASKED: Final = [each for each in OPERATIONS if each.produces != "text/event-stream"]
# Fields by which a request of HTTP/1.1 stands or falls.
OF_HTTP: Final = {
    *("connection", "content-encoding", "content-length", "expect", "host", "http2-settings"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
}
# A poll need not wait for what will not come.
QUERIES: Final[Mapping[str, dict[str, Any]]] = {
    "poll_changes": {"wait": 0},
    "poll_receipts": {"wait": 0},
}

schemathesis.serializer("application/x-ndjson", "text/plain")(
    lambda _, value: str(value).encode(errors="surrogateescape")
)


@pytest.fixture(scope="module")
def server(new_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of its own: what is published here to everybody is for nobody else's inbox."""
    yield from run_server(Server(tmp_path_factory.mktemp("schema"), new_store()))


@pytest.fixture(scope="module")
def schema(server: Server) -> BaseSchema:
    document = expect_json(server.http.get("/openapi.json", headers=bearer(ADMIN)))
    loaded: BaseSchema = schemathesis.openapi.from_dict(document)
    return loaded


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def things(server: Server) -> dict[str, Any]:
    """Existing things that may stand in a path, by name."""
    producer = server.producer()
    producer.post("absent", ttl=0.05)
    operator = Producer(server.http, ADMIN)
    letters = wait_until(
        lambda: operator.request("GET", "/v1/admin/dead-letters").json()["dead_letters"]
    )
    notification = producer.post(USER)
    with server.device(USER) as phone:
        phone.ack(phone.expect_push())
    return {
        "notification": notification,
        "user": USER,
        "device": "phone",
        "topic": "incidents",
        "letter": letters[0]["id"],
        "entry": "1-0",  # of which a node alone has none
    }


@pytest.mark.parametrize("operation", ASKED, ids=lambda operation: operation.name)
def test_every_answer_is_one_that_the_document_has(
    server: Server,
    schema: BaseSchema,
    session: requests.Session,
    things: dict[str, Any],
    operation: Operation,
):
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(schema, operation, things))
    def ask(case: Case[Any]) -> None:
        headers = CREDENTIALS[operation.caller]
        answer = case.call(server.url, session=session, headers=headers, timeout=PATIENCE)
        case.validate_response(answer, checks=checks_of(operation))

    ask()


def checks_of(operation: Operation) -> list[CheckFunction]:
    """Also that what the document allows is taken, and what it does not is refused."""
    checks = [*CHECKS]
    if operation.name not in DEPENDS_ON_FACTS:
        checks.append(positive_data_acceptance)
    if operation.name not in TAKES_ANY_TEXT:
        checks.append(negative_data_rejection)
    return checks


def cases(
    schema: BaseSchema, operation: Operation, things: dict[str, Any]
) -> st.SearchStrategy[Case[Any]]:
    described = schema[operation.path][operation.method]
    query = QUERIES.get(operation.name)
    known = {name: value for name, value in things.items() if f"{{{name}}}" in operation.path}
    strategies = [described.as_strategy(GenerationMode.POSITIVE, query=query)]
    if known:
        strategies.append(described.as_strategy(path_parameters=known, query=query))
    strategies = [each.filter(is_sayable) for each in strategies]
    if operation.path.startswith("/v1/"):
        strategies.append(described.as_strategy(GenerationMode.NEGATIVE).filter(is_wrong_as_sent))
    return st.one_of(strategies).filter(leaves_http_alone)


def leaves_http_alone(case: Case[Any]) -> bool:
    """Whether it says nothing about the request itself, whatever headers it makes up: of that the
    document speaks once, for all operations."""
    return not {name.lower() for name in case.headers or ()} & OF_HTTP


def is_wrong_as_sent(case: Case[Any]) -> bool:
    """Whether what is wrong with it reaches the server: the test puts a good credential in the
    place of whatever was made up, and a query's list of nothing is sent as nothing."""
    assert case.meta is not None
    wrong = {where for where, what in case.meta.components.items() if what.mode.is_negative}
    credential = {each.lower() for each in case.headers or ()} <= {"authorization"}
    if credential or getattr(case.meta.phase.data, "parameter", None) == "Authorization":
        wrong.discard(ParameterLocation.HEADER)
    if not set(case.query or ()) <= names_sent(case):
        wrong.discard(ParameterLocation.QUERY)
    return bool(wrong)


def names_sent(case: Case[Any]) -> set[str]:
    """The names that the query has on its way to the server."""
    kwargs = case.as_transport_kwargs("http://localhost")
    url = requests.Request("GET", kwargs["url"], params=kwargs.get("params")).prepare().url
    assert url is not None
    return set(parse_qs(urlsplit(url).query, keep_blank_values=True))


def is_sayable(case: Case[Any]) -> bool:
    """Whether it has nothing that no pattern can say: which characters past U+FFFF are seen."""
    parts = [case.path_parameters, case.query, case.body]
    said = json.dumps(parts, default=str, ensure_ascii=False)
    return all(is_user_id(character) for character in said if character > "\uffff")


def test_an_answer_that_the_document_has_not_is_seen(
    schema: BaseSchema, server: Server, session: requests.Session
):
    document = copy.deepcopy(schema.raw_schema)
    answers = document["paths"]["/livez"]["get"]["responses"]
    answers["200"]["content"]["application/json"]["schema"] = {"type": "array"}
    case = schemathesis.openapi.from_dict(document)["/livez"]["GET"].Case()
    with pytest.raises(FailureGroup):
        case.validate_response(case.call(server.url, session=session), checks=CHECKS)
