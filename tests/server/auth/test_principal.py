"""What a principal may do, and how a refusal is worded."""

from __future__ import annotations

import re

import pytest

from tocsin.server.auth.errors import AuthCode, Forbidden, Unauthenticated
from tocsin.server.auth.principal import Principal

ALICE = Principal("alice", frozenset({"notify"}), "jwt::alice", None)
KEY = Principal(None, frozenset({"admin"}), "key:x", None)


def test_a_scope_that_is_there_is_enough():
    ALICE.require_scope("notify")


def test_a_scope_that_is_missing_is_forbidden():
    with pytest.raises(Forbidden, match="scope admin") as caught:
        ALICE.require_scope("admin")
    assert caught.value.code is AuthCode.SCOPE_MISSING


def test_admin_does_not_imply_notify():
    with pytest.raises(Forbidden):
        KEY.require_scope("notify")


def test_asking_for_a_scope_that_does_not_exist_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="no scope"):
        ALICE.require_scope("notfy")


def test_a_users_token_has_a_user():
    assert ALICE.require_user() == "alice"


def test_an_api_key_has_none():
    with pytest.raises(Forbidden) as caught:
        KEY.require_user()
    assert caught.value.code is AuthCode.USER_MISSING


@pytest.mark.parametrize("code", AuthCode)
def test_codes_are_stable_words(code):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
    assert f"{code}" == code.value


def test_a_caller_without_credential_is_challenged_without_an_error():
    challenge = Unauthenticated("Say who you are.", AuthCode.TOKEN_MISSING).challenge
    assert challenge == 'Bearer realm="tocsin"'


def test_a_caller_with_a_bad_credential_is_told_so():
    challenge = Unauthenticated("The token has expired.", AuthCode.TOKEN_EXPIRED).challenge
    assert challenge == (
        'Bearer realm="tocsin", error="invalid_token", error_description="The token has expired."'
    )
    assert "insufficient_scope" in Forbidden("No.", AuthCode.SCOPE_MISSING).challenge
