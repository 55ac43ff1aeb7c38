"""The records of the HTTP API's operations: complete, and what happens is what they say."""

import inspect
import re
from types import SimpleNamespace
from typing import Annotated, Any, Literal, cast

import pytest
from msgspec import UNSET, Meta, UnsetType
from quart_trio import QuartTrio

from tocsin.protocol.problems import ProblemError
from tocsin.server.api import OPERATIONS, create_app
from tocsin.server.api.answers import Alive, Published
from tocsin.server.api.operation import PATH_TYPES, Answer, Call, Caller, Operation, Query
from tocsin.server.api.routing import respond
from tocsin.server.decoding import NotificationId, read_query, read_text

NAMES = [operation.name for operation in OPERATIONS]


class Filters(Query, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    state: Literal["unread", "all"] | UnsetType = UNSET
    topic: str | UnsetType = UNSET


def app_without_anything_behind_it() -> QuartTrio:
    services = SimpleNamespace(settings=SimpleNamespace(origins=()))
    return create_app(cast(Any, services), cast(Any, None))


def test_every_route_has_its_operation_and_every_operation_its_route():
    rules = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in app_without_anything_behind_it().url_map.iter_rules()
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == {(operation.method, operation.path) for operation in OPERATIONS}


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_what_stands_in_a_path_is_known_and_is_what_the_handler_takes(operation: Operation):
    names = re.findall(r"{(\w+)}", operation.path)
    assert set(names) <= PATH_TYPES.keys()
    assert list(inspect.signature(operation.handler).parameters) == ["call", *names]


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_everything_is_described(operation: Operation):
    assert operation.summary
    assert operation.about
    assert all(header.about for header in operation.headers)
    assert operation.answers


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_only_what_asks_for_no_credential_is_open(operation: Operation):
    is_open = operation.caller is Caller.ANYONE
    assert is_open == (operation.path in {"/livez", "/readyz", "/docs"})
    assert (operation.caller is Caller.ADMIN) == (
        operation.path in {"/metrics", "/openapi.json", "/asyncapi.json"}
        or operation.path.startswith("/v1/admin/")
    )


def test_a_query_is_read_into_its_type():
    assert read_query(Filters, {}) == Filters()
    read = read_query(Filters, {"limit": ["7"], "state": ["all"], "topic": ["null"]})
    assert read == Filters(limit=7, state="all", topic="null")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"limit": ["0"]}, "?limit"),
        ({"limit": [""]}, "?limit"),
        ({"limit": ["null"]}, "?limit"),
        ({"limit": ["9" * 5000]}, "?limit"),
        ({"state": ["none"]}, "?state"),
        ({"limt": ["1"]}, "?limt"),
        ({"limit": ["1", "1"]}, "?limit"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_by_name(fields, path):
    with pytest.raises(ProblemError) as caught:
        read_query(Filters, fields)
    assert caught.value.problem.code == "invalid"
    assert [error.path for error in caught.value.problem.errors] == [path]


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (PATH_TYPES["user"], "a b"),
        (PATH_TYPES["user"], "ada\n"),
        (PATH_TYPES["user"], "x" * 129),
        (PATH_TYPES["topic"], "*"),
        (PATH_TYPES["letter"], "0"),
        (PATH_TYPES["letter"], "x"),
        (NotificationId, "0197F0A8-0000-7000-8000-000000000000"),
        (NotificationId, "0197f0a8-0000-7000-8000-000000000000\n"),
    ],
)
def test_what_nothing_can_be_called_is_no_path(type_, text):
    with pytest.raises(ValueError, match="Expected"):
        read_text(type_, text)


async def test_an_answer_that_is_not_declared_is_a_bug():
    livez = next(each for each in OPERATIONS if each.name == "livez")
    with pytest.raises(KeyError):
        respond(livez, Answer(status=201))
    published = Published(id="x", state="active", recipients=1, created_at="")
    with pytest.raises(AssertionError, match="does not answer Published"):
        respond(livez, Answer(published))
    assert await respond(livez, Answer(Alive())).get_data() == b'{"status":"ok"}'


def test_a_call_is_what_handlers_say_they_take():
    for operation in OPERATIONS:
        call = inspect.signature(operation.handler, eval_str=True).parameters["call"].annotation
        assert call.__origin__ is Call
        query, body = call.__args__
        assert query is operation.query
        if not operation.streamed:
            assert body == (operation.body if operation.body is not None else type(None))
