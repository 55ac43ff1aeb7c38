"""Each refusal of an edge counts for its reason, and leaves one of a bounded number of lines."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tocsin.server.admission.limits import Limit
from tocsin.server.admission.refusals import (
    LINES_MAX,
    PERIOD,
    Reason,
    Refusals,
    known_method,
    reason_of,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def noted(refusals: Refusals, reason: Reason | Limit, **about: Any) -> list[Any]:
    with capture_logs() as lines:
        refusals.note(reason, address="192.0.2.1", **about)
    return lines


def test_a_refusal_is_counted_and_written_with_what_is_known_of_it():
    refusals = Refusals(Clock())
    lines = noted(
        refusals,
        Reason.FORBIDDEN,
        status=403,
        code="scope_missing",
        credential="key:abc",
        method="POST",
        route="/v1/notifications",
        request_id="r-1",
    )
    assert lines == [
        {
            "event": "refused",
            "log_level": "info",
            "reason": "forbidden",
            "address": "192.0.2.1",
            "status": 403,
            "code": "scope_missing",
            "credential": "key:abc",
            "method": "POST",
            "route": "/v1/notifications",
            "request_id": "r-1",
        }
    ]
    assert refusals.counts[Reason.FORBIDDEN] == 1


def test_a_refusal_that_may_need_an_operator_is_a_warning():
    refusals = Refusals(Clock())
    assert noted(refusals, Limit.PEER_RATE)[0]["log_level"] == "warning"
    assert noted(refusals, Reason.FULL)[0]["log_level"] == "warning"
    assert noted(refusals, Reason.ORIGIN)[0]["log_level"] == "info"


def test_a_flood_of_refusals_is_a_number_and_a_few_lines():
    clock = Clock()
    refusals = Refusals(clock)
    lines = [line for _ in range(1000) for line in noted(refusals, Reason.HANDSHAKE)]
    assert len(lines) == LINES_MAX
    # Of another reason nothing is hidden by that.
    assert noted(refusals, Reason.ORIGIN)
    clock.now = PERIOD
    assert noted(refusals, Reason.HANDSHAKE)[0]["left_out"] == 1000 - LINES_MAX
    assert refusals.counts[Reason.HANDSHAKE] == 1001


@pytest.mark.parametrize(
    ("method", "written"),
    [("GET", "GET"), ("get", "other"), ("eyJ-" * 2500, "other"), ("GET\n", "other"), ("", "other")],
)
def test_a_method_that_http_does_not_have_is_not_written(method, written):
    assert known_method(method) == written
    assert noted(Refusals(Clock()), Reason.MALFORMED_HEAD, method=method)[0]["method"] == written


def test_every_reason_is_counted_from_the_start():
    assert set(Refusals(Clock()).counts) == {*Reason, *Limit}
    assert not {str(each) for each in Reason} & {str(each) for each in Limit}


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "key_revoked", Reason.UNAUTHENTICATED),
        (403, "scope_missing", Reason.FORBIDDEN),
        (408, "request_timeout", Reason.TIMEOUT),
        (413, "too_large", Reason.TOO_LARGE),
        (431, "too_large", Reason.TOO_LARGE),
        (400, "malformed", Reason.BODY),
        (503, "overloaded", Reason.FULL),
        (503, "store_unavailable", None),
        (429, "rate_limited", None),
        (422, "invalid", None),
        (404, "not_found", None),
        (201, "", None),
    ],
)
def test_an_answer_is_a_refusal_of_the_edge_or_is_not(status, code, reason):
    assert reason_of(status, code) is reason
