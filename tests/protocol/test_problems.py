"""Problems are RFC 9457 objects out of one table."""

from __future__ import annotations

import re

import msgspec
import pytest

from tocsin.protocol.problems import (
    CREDENTIAL_PROBLEMS,
    PROBLEMS,
    TYPE_BASE,
    FieldError,
    kind_of,
    problem,
)
from tocsin.protocol.refusal import refuse

CODES = (*PROBLEMS, *CREDENTIAL_PROBLEMS)


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_status_a_title_and_a_stable_name(code):
    kind = kind_of(code)
    assert 400 <= kind.status <= 599
    assert kind.title
    assert kind.advice
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)


@pytest.mark.parametrize("code", CODES)
def test_a_problem_has_the_members_of_the_contract(code):
    value = msgspec.to_builtins(problem(code, "Details."))
    kind = kind_of(code)
    assert value == {
        "type": TYPE_BASE + code,
        "title": kind.title,
        "status": kind.status,
        "detail": "Details.",
        "code": code,
    }


def test_validation_errors_say_where():
    value = msgspec.to_builtins(problem("invalid", "No.", [FieldError("$.title", "is missing")]))
    assert value["errors"] == [{"path": "$.title", "message": "is missing"}]


def test_a_code_outside_the_table_is_a_bug():
    with pytest.raises(KeyError):
        problem("oops", "No.")


def test_a_refusal_carries_its_problem_and_when_to_come_back():
    error = refuse("rate_limited", "Too fast.", retry_after=1.5)
    assert (error.problem.status, error.refusal.retry_after) == (429, 1.5)
    assert str(error) == "rate_limited: Too fast."


def test_problems_do_not_share_their_errors():
    first = problem("invalid", "One.")
    first.errors.append(FieldError("$", "x"))
    assert problem("invalid", "Two.").errors == []
