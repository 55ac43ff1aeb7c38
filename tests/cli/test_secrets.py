"""`tocsin secrets reseal`: what it says, and what it needs."""

from __future__ import annotations

import base64

from tocsin.persistence.sqlite.hands import sqlite_hands
from tocsin.protocol.secret_box import SecretBox, address_context

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
_ADDRESS = """
    INSERT INTO addresses (user_id, channel, name, value, fingerprint, created_at)
    VALUES ('ann', 'email', 'main', $1, '', 0)
"""


def test_it_wants_a_key(tocsin):
    tocsin("migrate")
    result = tocsin("secrets", "reseal")
    assert result.exit_code == 1
    assert "TOCSIN_SECRETS_KEY" in result.stderr


def test_it_seals_with_the_new_key_what_the_old_one_opens(tocsin, tmp_path):
    tocsin("migrate")
    [path] = tmp_path.rglob("tocsin.db")
    sealed = SecretBox((b"o" * 32,)).seal("ann@x", address_context("ann", "email", "main"))
    with sqlite_hands(path) as hands:
        hands._connection.execute(_ADDRESS.replace("$1", "?"), (sealed,))

    alone = tocsin("secrets", "reseal", TOCSIN_SECRETS_KEY=NEW)
    assert (alone.exit_code, alone.stdout) == (1, "Sealed anew: 0 addresses, 0 webhooks\n")
    assert "No key opens 1 of them" in alone.stderr

    both = tocsin("secrets", "reseal", TOCSIN_SECRETS_KEY=f"{NEW},{OLD}")
    assert (both.exit_code, both.stdout) == (0, "Sealed anew: 1 addresses, 0 webhooks\n")
    assert tocsin("secrets", "reseal", TOCSIN_SECRETS_KEY=NEW).exit_code == 0
