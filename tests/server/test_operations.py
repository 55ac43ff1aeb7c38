"""The records of the HTTP API's operations: complete, and what happens is what they say."""

import inspect
import re
import time
from typing import Annotated, Any, Literal

import pytest
from msgspec import UNSET, Meta, UnsetType

from tocsin.protocol.refusal import Refused
from tocsin.server.api.all_operations import OPERATIONS
from tocsin.server.api.answers import Alive, Published
from tocsin.server.api.operation import PATH_TYPES, Answer, Call, Caller, Operation, UrlQuery
from tocsin.server.api.producers import LedgerQuery
from tocsin.server.api.quart_app import make_quart_app
from tocsin.server.api.routes import MethodNotAllowed, Routes
from tocsin.server.api.serving import whole
from tocsin.server.decoding import NotificationId, read_query, read_text

NAMES = [operation.name for operation in OPERATIONS]


class Filters(UrlQuery, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    state: Literal["unread", "all"] | UnsetType = UNSET
    topic: str | UnsetType = UNSET


def test_every_operation_that_is_not_lean_has_its_view():
    nothing: Any = None
    app = make_quart_app(OPERATIONS, nothing, nothing, nothing)
    rules = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD"}
    }
    served = [each for each in OPERATIONS if not each.lean]
    assert rules == {(each.method, re.sub(r"{(\w+)}", r"<\1>", each.path)) for each in served}


def test_the_hot_operations_are_lean():
    lean = {f"{each.method} {each.path}" for each in OPERATIONS if each.lean}
    assert lean == {
        "POST /v1/notifications",
        "POST /v1/notifications/batch",
        "GET /v1/inbox",
        "GET /v1/inbox/changes",
        "GET /v1/inbox/stream",
        "GET /v1/receipts",
        "GET /v1/receipts/stream",
        "GET /v1/admin/events",
        "POST /v1/inbox/mark",
        "POST /v1/inbox/ack",
        "GET /livez",
        "GET /readyz",
    }


def test_every_operation_is_found_by_its_path():
    routes = Routes(OPERATIONS)
    for operation in OPERATIONS:
        path = re.sub(r"{(\w+)}", r"%2F\1%C3%A4", operation.path)
        names = re.findall(r"{(\w+)}", operation.path)
        found, values = routes.find(operation.method, path)
        assert found is operation
        assert values == {name: f"/{name}ä" for name in names}


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "",
        "/livez/",
        "//livez",
        "/v1//inbox",
        "/v1/inbox/",
        "/v1%2Finbox",
        "/v1/users/ada/presence/",
        "/v1/users/%FF/presence",
        "/v1/../livez",
        "/" * 10_000,
    ],
)
def test_there_is_one_address_for_each_thing(path):
    with pytest.raises(Refused) as caught:
        Routes(OPERATIONS).find("GET", path)
    assert caught.value.problem.code == "not_found"


def test_a_method_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(MethodNotAllowed) as caught:
        Routes(OPERATIONS).find("BREW", "/v1/inbox")
    assert caught.value.refusal.headers == (("Allow", "GET, HEAD, OPTIONS"),)
    with pytest.raises(MethodNotAllowed):
        Routes(OPERATIONS).find("HEAD", "/v1/inbox/stream")


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_the_parameters_of_a_path_are_known_and_are_those_of_the_handler(operation: Operation):
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
    pages = {"/", "/docs", "/favicon.ico", "/openapi.json", "/asyncapi.json", "/tocsin.proto"}
    modules = {"/client.js", "/client/{module}", "/inbox.js", "/inbox/{module}"}
    pages |= {"/console", "/console/look.css", "/console/{module}"}
    links = {"/v1/unsubscribe/{token}"}
    assert is_open == (operation.path in {"/livez", "/readyz", *pages, *modules, *links})
    assert (operation.caller is Caller.ADMIN) == (
        operation.path == "/metrics" or operation.path.startswith(("/v1/admin/", "/v1/webhooks"))
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
    with pytest.raises(Refused) as caught:
        read_query(Filters, fields)
    assert caught.value.problem.code == "invalid"
    assert [error.path for error in caught.value.problem.errors] == [path]


@pytest.mark.parametrize(
    ("after", "is_one"),
    [
        *(("ada/phone", True), ("https://idp.example/u/phone", True), ("/phone/phone", True)),
        *(("ada", False), ("/phone", False), ("ada/", False), ("a b/phone", False)),
        *(("ada/ä", False), ("x" * 255 + "/" + "y" * 128, True), ("x" * 256 + "/y", False)),
    ],
)
def test_a_place_in_the_ledger_is_a_user_and_a_device(after, is_one):
    try:
        read_query(LedgerQuery, {"after": [after]})
    except Refused:
        assert not is_one
    else:
        assert is_one


@pytest.mark.parametrize("after", ["/a" * 500_000, "a/" * 500_000, "/" * 1_000_000, "a" * 10**6])
def test_a_place_in_the_ledger_is_read_in_one_pass(after):
    began = time.process_time()
    with pytest.raises(Refused):
        read_query(LedgerQuery, {"after": [after]})
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "user", ["auth0|5f7c", "ada+x@example.org", "https://idp.example/users/42", "..", "%2F", "Ädä"]
)
def test_a_user_in_a_path_is_any_user_once_it_is_decoded(user):
    assert read_text(PATH_TYPES["user"], user) == user


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (PATH_TYPES["user"], "a b"),
        (PATH_TYPES["user"], "ada\n"),
        (PATH_TYPES["user"], "x" * 256),
        (PATH_TYPES["topic"], "*"),
        (PATH_TYPES["letter"], "0"),
        (PATH_TYPES["letter"], "x"),
        (NotificationId, "0197F0A8-0000-7000-8000-000000000000"),
        (NotificationId, "0197f0a8-0000-7000-8000-000000000000\n"),
    ],
)
def test_an_impossible_name_is_no_path(type_, text):
    with pytest.raises(ValueError, match="Expected"):
        read_text(type_, text)


def test_an_answer_that_is_not_declared_is_a_bug():
    livez = next(each for each in OPERATIONS if each.name == "livez")
    with pytest.raises(KeyError):
        whole(livez, Answer(status=201))
    published = Published(id="x", state="active", recipients=1, created_at="")
    with pytest.raises(AssertionError, match="does not answer Published"):
        whole(livez, Answer(published))
    assert whole(livez, Answer(Alive())).body == b'{"status":"ok"}\n'


def test_a_call_is_what_handlers_say_they_take():
    for operation in OPERATIONS:
        call = inspect.signature(operation.handler, eval_str=True).parameters["call"].annotation
        assert call.__origin__ is Call
        query, body = call.__args__
        assert query is operation.query
        if operation.body_optional:
            assert body == operation.body | None
        elif not operation.streamed:
            assert body == (operation.body if operation.body is not None else type(None))
