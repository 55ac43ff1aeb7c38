"""Links that unsubscribe: ours are known again, others are not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.channels.unsubscribing import (
    TOKEN_PATTERN,
    Unsubscription,
    read_unsubscribe_token,
    unsubscribe_token,
)
from tocsin.protocol.refusal import Refused

WANTED = Unsubscription("ada", "email", "builds")


@given(user=st.text(min_size=1, max_size=256), secret=st.text())
def test_a_token_says_what_it_was_made_for(user, secret):
    wanted = Unsubscription(user.encode("utf-8", "replace").decode(), "email", "builds")
    token = unsubscribe_token(secret.encode("utf-8", "replace").decode(), wanted)

    assert re.match(TOKEN_PATTERN, token)
    assert read_unsubscribe_token(secret.encode("utf-8", "replace").decode(), token) == wanted


def test_a_token_that_was_changed_or_made_elsewhere_is_not_found():
    token = unsubscribe_token("ours", WANTED)
    other = unsubscribe_token("ours", Unsubscription("bob", "email", "builds"))
    mixed = f"{other.partition('.')[0]}.{token.partition('.')[2]}"

    for wrong in (unsubscribe_token("theirs", WANTED), mixed, token[:-1] + "_", ".", ""):
        with pytest.raises(Refused):
            read_unsubscribe_token("ours", wrong)
