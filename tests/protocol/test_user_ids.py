"""User ids: what is seen, and nothing else."""

from __future__ import annotations

import re
import time
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.notifications.notification import UserId
from tocsin.protocol.user_ids import USER_ID_PATTERN, is_user_id

# Control, format, private use, surrogate, and all that separates.
UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"}
BROKEN = "\ufffc\ufffd"
"""Seen, and what they stand for is not."""
PAST_ALL_SCRIPTS = 0x40000


def is_in_a_message(text: str) -> bool:
    """Whether a client's JSON may have it as a user."""
    try:
        msgspec.convert(text, UserId)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        *("a", "ada", "ada@example.com", ".", "..", "*", "a/b", "%2F", '"', "\\", "{}", "NULL"),
        *("auth0|5f7c8ec7c33c6c004bbafe82", "ada+x@example.org", "https://idp.example/users/42"),
        *("Ädä", "адá", "日本語", "😀", "e\u0301", "x" * 255, "😀" * 255),
    ],
)
def test_user_ids_may_be(text):
    assert is_user_id(text)
    assert is_in_a_message(text)
    assert len(text.encode()) <= 1020


@pytest.mark.parametrize(
    "text",
    [
        *("", "x" * 256, "😀" * 256, "a b", " a", "a\t", "a\n", "\na", "a\r\n", "a\x00", "a\x7f"),
        *("a\x85", "a\xa0b", "a\u2028b", "a\u3000b"),
        # A zero-width joiner, a turned text, a soft hyphen, a byte order mark, a hidden tag.
        *("a\u200db", "a\u202eb", "a\xadb", "\ufeffa", "a\U000e0061"),
        *("\ud800", "a\udc80", "\ue000", "\U000f0000", "\U0010ffff", "\ufdd0", "\ufffe", "\ufffd"),
    ],
)
def test_user_ids_may_not_be(text):
    assert not is_user_id(text)
    assert not is_in_a_message(text)


def test_invisible_characters_are_those_of_unicode():
    """But for what nobody has assigned yet, which another Python may know to be visible."""
    for code in range(PAST_ALL_SCRIPTS):
        character = chr(code)
        category = unicodedata.category(character)
        if category != "Cn" and character not in BROKEN:
            assert is_user_id(character) is (category not in UNSEEN), hex(code)
    assert not any(map(is_user_id, map(chr, range(PAST_ALL_SCRIPTS, 0x110000))))


@given(st.text(max_size=300) | st.text("aä/| \n\ud800\u200d", max_size=6))
def test_there_is_one_rule_wherever_a_user_is_named(text):
    assert is_user_id(text) is is_in_a_message(text)


def test_two_forms_of_one_letter_are_two_users():
    assert is_user_id("\u00e4")
    assert is_user_id("a\u0308")
    assert msgspec.convert("a\u0308", UserId) == "a\u0308"


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a" * 999_999 + "\n", "\u200d" * 1_000_000])
def test_a_text_is_read_in_one_pass_however_long_it_is(text):
    began = time.process_time()
    assert bool(re.search(USER_ID_PATTERN, text)) is ("\u200d" not in text)
    # A pass takes some 10 ms.
    assert time.process_time() - began < 1
