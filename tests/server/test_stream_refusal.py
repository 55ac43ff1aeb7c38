"""An EventSource that cannot be served now is told the reason."""

from __future__ import annotations

import pytest

from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refusal, refuse
from tocsin.server.api.all_operations import OPERATIONS
from tocsin.server.follow.stream_refusal import (
    STREAM_PATH,
    instead_of_problem,
    stream_goodbye,
)


def test_a_stream_that_is_not_to_be_is_a_goodbye_and_when_to_come_back():
    assert stream_goodbye(Closing.OVERLOADED, 1.25, "All connections are taken.") == (
        b"retry: 1250\n"
        b"event: goodbye\n"
        b'data: {"type":"goodbye","code":4005,"reason":"overloaded","reconnect":true,'
        b'"after":1.25,"detail":"All connections are taken."}\n\n'
    )


def test_a_detail_breaks_no_line():
    body = stream_goodbye(Closing.DRAINING, 1.0, "one\r\ntwo\u2028three")
    assert body.count(b"\n") == 4
    assert b"\r" not in body
    assert "\u2028".encode() not in body


@pytest.mark.parametrize(
    ("status", "code", "closing"),
    [
        (503, "overloaded", Closing.OVERLOADED),
        (503, "store_unavailable", Closing.STORE_UNAVAILABLE),
        (503, "jwks_unavailable", Closing.STORE_UNAVAILABLE),
        (503, "keys_busy", Closing.STORE_UNAVAILABLE),
        (500, "internal_error", Closing.INTERNAL_ERROR),
        (429, "rate_limited", Closing.RATE_LIMITED),
        (400, "malformed", None),
        (401, "token_expired", None),
        (403, "forbidden", None),
        (404, "not_found", None),
        (405, "method_not_allowed", None),
        (422, "invalid", None),
    ],
)
def test_a_refusal_that_will_pass_is_said_on_a_stream_and_no_other(status, code, closing):
    refusal = refuse(code, "What it is.").refusal
    assert refusal.problem.status == status
    body = instead_of_problem(refusal, stopping=False, random=0.0)
    if closing is None:
        assert body is None
    else:
        assert body == stream_goodbye(closing, refusal.after, "What it is.")
        assert closing.reconnect


def refused(code: str, after: float | None = None) -> Refusal:
    return refuse(code, "What it is.", retry_after=after).refusal


def test_a_problem_that_will_pass_is_a_goodbye_with_its_detail():
    body = instead_of_problem(refused("store_unavailable", 2.0), stopping=False, random=0.5)
    assert body == stream_goodbye(Closing.STORE_UNAVAILABLE, 3.0, "What it is.")
    body = instead_of_problem(refused("overloaded"), stopping=True, random=0.0)
    assert body == stream_goodbye(Closing.DRAINING, 1.0, "What it is.")


@pytest.mark.parametrize("code", ["unauthenticated", "forbidden", "invalid", "malformed"])
def test_a_problem_that_will_not_pass_stays_one(code):
    assert instead_of_problem(refused(code), stopping=True, random=0.0) is None


def test_a_stream_is_asked_for_in_one_way():
    paths = {each.path for each in OPERATIONS if each.produces == "text/event-stream"}
    # The others are for producers and operators, whose clients send a header and read a status.
    assert paths == {STREAM_PATH, "/v1/receipts/stream", "/v1/admin/events"}
