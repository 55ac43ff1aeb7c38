"""A refusal says no in the words of each edge: a problem, or a goodbye."""

from __future__ import annotations

import pytest

from tocsin.protocol.closing import Closing
from tocsin.protocol.errors import DescribedError, ProtocolError
from tocsin.protocol.frames.frames import MalformedFrame
from tocsin.protocol.problems import CREDENTIAL_PROBLEMS, PROBLEMS, FieldError
from tocsin.protocol.refusal import Refusal, Refused, refusal_for, refuse


@pytest.mark.parametrize("closing", Closing, ids=lambda closing: closing.word)
def test_a_closing_and_its_refusal_say_the_same(closing):
    refusal = refusal_for(closing, "Details.")
    assert refusal.closing is closing
    assert refusal.after == closing.after
    assert refusal.problem.detail == "Details."
    assert (refusal.retry_after is not None) is closing.reconnect


@pytest.mark.parametrize("closing", Closing, ids=lambda closing: closing.word)
def test_every_closing_tells_people_why_and_what_to_do(closing):
    assert closing.text.endswith(".")
    assert closing.advice.endswith(".")
    assert (closing.after > 0) is closing.reconnect


@pytest.mark.parametrize("code", [*PROBLEMS, *CREDENTIAL_PROBLEMS])
def test_a_refusal_that_passes_by_waiting_says_how_long(code):
    refusal = refuse(code, "Details.").refusal
    if refusal.problem.status in (429, 503):
        assert refusal.retry_after is not None
        assert refusal.closing.reconnect


def test_without_a_detail_a_problem_says_its_reason_and_what_to_do():
    refusal = refusal_for(Closing.TOO_MANY_DEVICES)
    assert refusal.problem.detail.startswith(Closing.TOO_MANY_DEVICES.text)
    assert "remove a device: DELETE /v1/me/devices/" in refusal.problem.detail
    assert refusal.last_words == ""


def test_a_goodbye_names_what_is_wrong_with_a_credential():
    refusal = Refusal(code="token_expired", detail="It ran out.")
    assert refusal.closing is Closing.UNAUTHENTICATED
    assert refusal.last_words == "token_expired: It ran out."
    assert refusal.problem.code == "token_expired"


def test_a_refusal_carries_the_fields_that_are_wrong():
    wrong = [FieldError("$.title", "is missing")]
    with pytest.raises(Refused, match=r"invalid: No\.") as caught:
        raise refuse("invalid", "No.", wrong)
    assert caught.value.problem.errors == wrong


def test_an_error_without_a_text_has_its_docstrings_first_paragraph():
    class Lost(DescribedError):
        """The store is
        lost.

        More of it.
        """

    assert str(Lost()) == "The store is lost."
    assert str(Lost("gone")) == "gone"
    assert issubclass(MalformedFrame, ProtocolError)


@pytest.mark.parametrize("closing", list(Closing))
def test_the_refusal_for_a_closing_ends_a_connection_with_it(closing):
    refusal = refusal_for(closing)

    assert refusal.closing is closing
    assert refusal.after == closing.after
    assert refusal.problem.detail == f"{closing.text} {closing.advice}"


def test_a_delay_that_is_given_holds():
    assert refusal_for(Closing.DRAINING, after=7.0).after == 7.0
    assert refuse("overloaded", "Full.", retry_after=3.0).refusal.after == 3.0


def test_last_words_name_the_code_of_a_credential_that_the_closing_does_not():
    assert refuse("forbidden", "Not yours.").refusal.last_words == "Not yours."
    other = Refusal(code="not_found", detail="No.", reason=Closing.UNAUTHENTICATED)
    assert other.last_words == "not_found: No."
    assert refuse("unauthenticated", "Who?").refusal.last_words == "Who?"
