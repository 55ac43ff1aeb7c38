"""One refusal, as a goodbye and as a problem."""

from __future__ import annotations

import pytest

from tocsin.protocol.closing import Closing
from tocsin.protocol.refusal import Refusal, refusal_for, refuse


@pytest.mark.parametrize("closing", list(Closing))
def test_the_refusal_for_a_closing_ends_a_connection_with_it(closing):
    refusal = refusal_for(closing)

    assert refusal.closing is closing
    assert refusal.after == closing.after
    assert refusal.problem.detail == closing.text


def test_a_delay_that_is_given_holds():
    assert refusal_for(Closing.DRAINING, after=7.0).after == 7.0
    assert refuse("overloaded", "Full.", retry_after=3.0).refusal.after == 3.0


def test_last_words_name_the_code_of_a_credential_that_the_closing_does_not():
    assert refuse("forbidden", "Not yours.").refusal.last_words == "Not yours."
    other = Refusal(code="not_found", detail="No.", reason=Closing.UNAUTHENTICATED)
    assert other.last_words == "not_found: No."
    assert refuse("unauthenticated", "Who?").refusal.last_words == "Who?"
