"""Log lines: one format for ours and the libraries', with context and without payloads."""

import io
import json
import logging
import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import thread_time
from uuid import UUID

import pytest
import structlog
import trio

from tocsin import logs
from tocsin.server.api.audit import audit

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)
    for name in ("tocsin", "audit", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines():
    """Configures JSON logging; calling it returns the lines written so far, decoded."""
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def console():
    stream = io.StringIO()
    logs.configure("console", "info", stream)
    return stream.getvalue


def ours():
    return structlog.get_logger("tocsin.tests")


def test_a_line_of_ours_has_time_level_logger_and_values(lines):
    ours().warning("store lost", attempts=3)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "store lost",
        "level": "warning",
        "logger": "tocsin.tests",
        "attempts": 3,
    }


def test_a_logger_without_a_name_is_called_after_its_module(lines):
    structlog.get_logger().info("here")
    assert lines()[0]["logger"] == __name__


def test_a_library_line_looks_the_same(lines):
    logging.getLogger("hypercorn.error").info("Running on %s", "somewhere")
    (line,) = lines()
    del line["timestamp"]
    assert line == {"event": "Running on somewhere", "level": "info", "logger": "hypercorn.error"}


def test_warnings_become_lines(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert "old way" in lines()[0]["event"]


def test_people_get_text_without_colours_where_there_is_no_terminal(console):
    ours().info("store back", attempts=3)
    assert "store back" in console()
    assert "attempts=3" in console()
    assert "\x1b" not in console()


def test_lines_below_the_level_are_not_written(lines):
    ours().debug("detail")
    assert lines() == []


def test_debug_is_for_our_lines_only():
    stream = io.StringIO()
    logs.configure("json", "debug", stream)
    ours().debug("ours")
    logging.getLogger("trio-websocket").debug("received b'secret'")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["ours"]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11"])
def test_the_addresses_that_are_asked_are_not_written(lines, name):
    logging.getLogger(name).info('HTTP Request: GET https://id.example/keys?secret "200 OK"')
    logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines()] == ["trouble"]


def test_a_level_above_info_holds_for_libraries_as_well():
    stream = io.StringIO()
    logs.configure("json", "error", stream)
    logging.getLogger("hypercorn.error").warning("hm")
    assert stream.getvalue() == ""


def test_configuring_again_replaces_the_first(lines):
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    ours().info("once")
    assert lines() == []
    assert stream.getvalue().count("once") == 1


def test_a_bound_request_id_is_on_our_lines_and_on_library_lines(lines):
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        ours().info("a")
        logging.getLogger("library").info("b")
    ours().info("c")
    assert [line.get("request_id") for line in lines()] == ["r-1", "r-1", None]


async def test_tasks_inherit_the_context_and_do_not_share_it(lines):
    async def handle(request_id):
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await trio.lowlevel.checkpoint()
            ours().info("handled")

    structlog.contextvars.bind_contextvars(node="n-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle, "r-1")
        nursery.start_soon(handle, "r-2")
    assert {(line["node"], line["request_id"]) for line in lines()} == {
        ("n-1", "r-1"),
        ("n-1", "r-2"),
    }


@pytest.mark.parametrize("name", sorted(logs.HIDDEN_NAMES))
def test_values_by_the_name_of_a_payload_or_a_credential_are_hidden(lines, name):
    ours().info("sent", **{name: "sesame", name.upper() + "_LENGTH": 6})
    ours().info("sent", fields={name: "sesame"})
    assert lines()[0][name] == logs.HIDDEN
    assert lines()[1]["fields"] == {name: logs.HIDDEN}


@dataclass
class Notification:
    title: str


def test_objects_are_shown_by_their_type_only(lines):
    ours().info(
        "sent", item=Notification("sesame"), items=[Notification("sesame"), {"a": "sesame"}]
    )
    (line,) = lines()
    assert line["item"] == "<Notification>"
    assert line["items"] == ["<Notification>", "<dict>"]


class Colour(StrEnum):
    RED = "red"


def test_plain_values_are_shown_as_they_are(lines):
    ours().info(
        "plain",
        path=Path("/a"),
        id=UUID(int=1),
        colour=Colour.RED,
        share=0.5,
        endless=float("inf"),
        nothing=None,
        error=ValueError("too big"),
        names=("a", "b"),
    )
    (line,) = lines()
    assert line["path"] == "/a"
    assert line["id"] == "00000000-0000-0000-0000-000000000001"
    assert (line["colour"], line["share"], line["endless"]) == ("red", 0.5, "inf")
    assert (line["nothing"], line["error"]) == (None, "ValueError: too big")
    assert line["names"] == ["a", "b"]


def test_long_texts_and_lists_are_cut(lines):
    ours().info("long", text="x" * 10_000, ids=list(range(1000)))
    assert lines()[0]["text"] == "x" * logs.TEXT_MAX + "…"
    assert lines()[0]["ids"] == list(range(logs.ITEMS_MAX))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /v1/ws?ticket=sesame&cursor=1", "GET /v1/ws?ticket=[hidden]&cursor=1"),
        ("Authorization: Bearer sesame", "Authorization: Bearer [hidden]"),
        ("key tk_se-sa_me given", "key tk_[hidden] given"),
        ("ticket tt_sesamesesame given", "ticket tt_[hidden] given"),
        ("/v1/ws?next=%2Fws%3Fticket%3Dtt_sesame", "/v1/ws?next=%2Fws%3Fticket%3D[hidden]"),
        ("X-Token=sesame;api_key=sesame", "X-Token=[hidden]"),
        (f"x-{JWT}", "x-eyJ[hidden]"),
        ("postgres://tocsin:ses@me@db/tocsin", "postgres://[hidden]@db/tocsin"),
        (f"token {JWT} given", "token eyJ[hidden] given"),
        ("postgres://tocsin:sesame@db/tocsin", "postgres://[hidden]@db/tocsin"),
        ("see https://example.com/a@b", "see https://example.com/a@b"),
    ],
)
def test_a_text_like_a_credential_is_masked_wherever_it_stands(lines, text, masked):
    logging.getLogger("hypercorn.access").info("%s", text)
    ours().info("seen", text=text)
    assert lines()[0]["event"] == masked
    assert lines()[1]["text"] == masked


def test_a_credential_at_the_cut_is_masked_before_it(lines):
    ours().info("seen", text="x" * (logs.TEXT_MAX - 10) + " " + JWT)
    assert "Jhb" not in lines()[0]["text"]


@pytest.mark.parametrize(
    "piece",
    [
        *("eyJ-", "eyJa.", "eyJ", "tk_", "tt_a", "Bearer ", "bearer  \t", "://", "://a@", "://a"),
        *(
            "ticket=",
            "ticket=&",
            "token%3D",
            "a",
            " ",
            "\n",
            "\x00",
            "\u2028",
            "password",
            "-tk_ab",
        ),
    ],
)
def test_masking_takes_no_longer_than_the_text_is_long(piece):
    text = piece * (65_536 // len(piece))
    assert min(seconds_to_mask(text) for _ in range(3)) < 0.02


def seconds_to_mask(text):
    start = thread_time()
    logs._masked(text)
    return thread_time() - start


def test_a_method_of_credentials_costs_nothing_and_shows_nothing(lines):
    ours().info("request refused", method="eyJ-" * 2500)
    (line,) = lines()
    assert line["method"] == "eyJ[hidden]"


def test_audit_lines_are_written_at_every_level():
    stream = io.StringIO()
    logs.configure("json", "error", stream)
    ours().warning("not this")
    audit("user disconnected", credential="key:abc", address="192.0.2.1", request_id="r", user="u")
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    del line["timestamp"]
    assert line == {
        "event": "user disconnected",
        "level": "info",
        "logger": "audit",
        "outcome": "done",
        "credential": "key:abc",
        "address": "192.0.2.1",
        "request_id": "r",
        "user": "u",
    }


@pytest.mark.parametrize("library", ["httpx", "httpcore", "httpcore.http11"])
def test_the_fetch_of_the_keys_does_not_log_their_address(lines, library):
    logging.getLogger(library).info("HTTP Request: GET https://id.example/keys?code=hunter2")
    assert lines() == []


def test_names_of_values_are_bounded_too(lines):
    ours().info("seen", fields={"x" * 1000: 1})
    assert lines()[0]["fields"] == {"x" * logs.NAME_MAX + "…": 1}


def test_half_a_character_can_be_written_and_a_reordered_line_is_not(lines):
    ours().info("seen", text="\ud800 \u202eevil\u2028next")
    assert lines()[0]["text"] == r"\ud800 \u202eevil\u2028next"


def test_a_credential_at_the_cut_of_a_traceback_is_masked(lines):
    for at in range(logs.TRACEBACK_MAX // 2 - 300, logs.TRACEBACK_MAX // 2 + 10, 7):
        text = ("y " * logs.TRACEBACK_MAX)[:at] + JWT + " z" * logs.TRACEBACK_MAX
        assert "c2lnbmF0dXJl" not in logs._traceback(text)
        assert "c2lnbmF0dXJl" not in logs._traceback(text[::-1].replace(JWT[::-1], JWT))


def crash():
    title = "sesame in a local variable"
    raise RuntimeError(f"no way with {len(title)} and tk_sesame")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_tracebacks_show_neither_local_variables_nor_credentials(log_format):
    stream = io.StringIO()
    logs.configure(log_format, "info", stream)
    try:
        crash()
    except RuntimeError:
        ours().exception("crashed")
        logging.getLogger("library").exception("crashed too")
    text = stream.getvalue()
    assert text.count("Traceback") == 2
    assert text.count("no way with 26 and tk_[hidden]") == 2
    # The source line is in a traceback, its value only where a renderer prints variables.
    assert "title = " not in text


def test_exception_groups_are_shown_whole(lines):
    try:
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    except ExceptionGroup:
        ours().exception("crashed")
    assert "ValueError: one" in lines()[0]["exception"]
    assert "KeyError: 'two'" in lines()[0]["exception"]


def test_an_endless_traceback_loses_its_middle(lines):
    try:
        raise ValueError("x" * 100_000)
    except ValueError:
        ours().exception("crashed")
    assert len(lines()[0]["exception"]) < logs.TRACEBACK_MAX + 10


def test_a_value_cannot_forge_a_line_or_steer_the_terminal(console):
    ours().info("hello", client="a\n2026-01-01 [info] forged\x1b[2J")
    assert len(console().splitlines()) == 1
    assert "\x1b" not in console()
