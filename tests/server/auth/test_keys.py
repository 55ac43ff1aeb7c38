"""API keys as text and as record."""

from __future__ import annotations

import random
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.keys import NewKey, StoredKey, check_key, generate_key, read_key_id


def stored(key: NewKey, *scopes: str) -> StoredKey:
    return StoredKey(key.id, key.hash, frozenset(scopes), "ci", 0.0)


def refused(text: str, record: StoredKey | None) -> AuthCode:
    with pytest.raises(Unauthenticated) as caught:
        check_key(text, record)
    return caught.value.code


def test_a_key_is_what_its_owner_was_shown():
    key = generate_key(secrets.token_bytes)
    principal = check_key(key.text, stored(key, "notify"))
    assert principal.user is None
    assert principal.scopes == {"notify"}
    assert principal.credential == f"key:{key.id}"
    assert principal.expires_at is None


def test_a_key_holds_256_random_bits_and_its_id_none_of_them():
    drawn: list[int] = []

    def source(size: int) -> bytes:
        drawn.append(size)
        return secrets.token_bytes(size)

    key = generate_key(source)
    assert drawn == [10, 32]
    assert read_key_id(key.text) == key.id
    assert key.text.startswith(f"tk_{key.id}_")


def test_neither_key_nor_hash_is_shown():
    key = generate_key(secrets.token_bytes)
    shown = repr(key) + repr(stored(key))
    assert key.text not in shown
    assert key.text.split("_")[2] not in shown
    assert repr(key.hash) not in shown


def test_a_key_with_a_wrong_secret_is_as_unknown_as_one_without_record():
    key, other = generate_key(secrets.token_bytes), generate_key(secrets.token_bytes)
    forged = f"tk_{key.id}_{other.text.split('_')[2]}"
    assert refused(forged, stored(key)) is AuthCode.KEY_UNKNOWN
    assert refused(key.text, None) is AuthCode.KEY_UNKNOWN


def test_revocation_is_told_to_the_holder_of_the_secret_only():
    key, other = generate_key(secrets.token_bytes), generate_key(secrets.token_bytes)
    revoked = replace(stored(key, "admin"), revoked_at=1.0)
    assert refused(key.text, revoked) is AuthCode.KEY_REVOKED
    assert refused(other.text, revoked) is AuthCode.KEY_UNKNOWN


def test_scopes_that_do_not_exist_are_not_granted():
    key = generate_key(secrets.token_bytes)
    assert check_key(key.text, stored(key, "notify", "root")).scopes == {"notify"}


@given(st.text(max_size=100) | st.text(max_size=80).map("tk_".__add__))
def test_arbitrary_text_has_no_key_id(text):
    with pytest.raises(Unauthenticated) as caught:
        read_key_id(text)
    assert caught.value.code is AuthCode.KEY_MALFORMED


@given(st.data())
def test_no_key_verifies_with_a_character_changed(data):
    key = generate_key(random.Random(7).randbytes)
    at = data.draw(st.integers(0, len(key.text) - 1))
    letter = data.draw(st.characters(exclude_characters=key.text[at]))
    mutated = key.text[:at] + letter + key.text[at + 1 :]
    if looks_like_a_key(mutated):
        assert refused(mutated, stored(key)) is AuthCode.KEY_UNKNOWN


def looks_like_a_key(text: str) -> bool:
    try:
        read_key_id(text)
    except Unauthenticated:
        return False
    return True
