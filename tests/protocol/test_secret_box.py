"""Secrets at rest: what was sealed opens with its key and in its place, and nowhere else."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.secret_box import SecretBox, SecretUnreadable, address_context, webhook_context
from tocsin.settings.secrets_keys import KEYS_MAX, read_secrets_keys

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLACE = address_context("ada", "email", "main")


def box(*keys: bytes) -> SecretBox:
    return SecretBox(keys, os.urandom)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_sealed_secret_opens_and_shows_nothing(text):
    sealed = box(OLD).seal(text, PLACE)
    assert sealed.startswith("sealed:")
    assert len(text) < 8 or text not in sealed
    assert box(OLD).open(sealed, PLACE) == text
    assert box(OLD).seal(text, PLACE) != sealed, "a nonce is used once"


def test_without_a_key_nothing_is_sealed_and_what_was_not_is_read():
    assert box().seal("whsec_x", PLACE) == "whsec_x"
    assert box().open("whsec_x", PLACE) == box(NEW).open("whsec_x", PLACE) == "whsec_x"


def test_keys_are_rotated_with_overlap():
    before = box(OLD).seal("secret", PLACE)
    overlap = box(NEW, OLD)
    assert overlap.open(before, PLACE) == "secret"
    after = overlap.seal("secret", PLACE)
    assert box(NEW).open(after, PLACE) == "secret"
    with pytest.raises(SecretUnreadable, match="does not have"):
        box(NEW).open(before, PLACE)
    with pytest.raises(SecretUnreadable, match="does not have"):
        box().open(before, PLACE)


def test_the_first_key_s_seals_are_current_and_without_keys_what_is_not_sealed():
    sealed = box(OLD).seal("secret", PLACE)

    assert box(OLD, NEW).is_current(sealed)
    assert not box(NEW, OLD).is_current(sealed)
    assert not box(NEW, OLD).is_current("secret")
    assert box().is_current("secret")
    assert not box().is_current(sealed)


def test_a_sealed_text_opens_in_its_own_place_only():
    sealed = box(OLD).seal("secret", PLACE)
    for place in (
        address_context("bob", "email", "main"),
        address_context("ada", "email", "x"),
        webhook_context("main"),
    ):
        with pytest.raises(SecretUnreadable, match="changed, or belongs"):
            box(OLD).open(sealed, place)


@given(st.data())
def test_a_changed_secret_does_not_open(data):
    sealed = SecretBox((OLD,)).seal("secret", PLACE)
    at = data.draw(st.integers(len("sealed:"), len(sealed) - 1))
    other = data.draw(st.sampled_from("AZaz09+/=:!é").filter(lambda each: each != sealed[at]))
    changed = sealed[:at] + other + sealed[at + 1 :]
    try:
        opened = box(OLD).open(changed, PLACE)
    except SecretUnreadable:
        return
    # The last characters of base64 have bits that mean nothing.
    assert opened == "secret"


def test_keys_are_read_from_the_setting():
    text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert read_secrets_keys(text) == (OLD,)
    other = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
    assert read_secrets_keys(f"{other}, {text}") == (NEW, OLD)


@pytest.mark.parametrize("text", ["", "x", "AAEC", "AAEC,", "!" * 44, 7, None])
def test_a_text_that_is_no_key_is_refused(text):
    with pytest.raises(ValueError, match=r"base64|bytes"):
        read_secrets_keys(text)


def test_keys_are_few_and_different():
    text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    with pytest.raises(ValueError, match="twice"):
        read_secrets_keys(f"{text},{text}")
    with pytest.raises(ValueError, match="more than"):
        read_secrets_keys(",".join([text] * (KEYS_MAX + 1)))
