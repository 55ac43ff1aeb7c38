"""The scopes of a principal, and the words of a refusal."""

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
    refusal = Unauthenticated("Say who you are.", AuthCode.TOKEN_MISSING).refusal
    assert refusal.challenge == 'Bearer realm="tocsin"'


def test_a_caller_with_a_bad_credential_is_told_so():
    refusal = Unauthenticated("The token has expired.", AuthCode.TOKEN_EXPIRED).refusal
    assert refusal.challenge == (
        'Bearer realm="tocsin", error="invalid_token", error_description="The token has expired."'
    )


def test_a_caller_who_may_not_is_told_which_scope_would_do():
    insufficient = 'Bearer realm="tocsin", error="insufficient_scope"'
    with pytest.raises(Forbidden) as refused:
        Principal("ann", frozenset(), "jwt:ann", None).require_scope("notify")
    assert refused.value.refusal.challenge == f'{insufficient}, scope="notify"'

    with pytest.raises(Forbidden) as refused:
        Principal(None, frozenset({"notify"}), "key:1", None).require_user()
    assert refused.value.refusal.challenge == insufficient
