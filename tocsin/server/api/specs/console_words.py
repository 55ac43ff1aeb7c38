"""Words for fields of what the console asks for, by type and field: see `words`."""

from __future__ import annotations

from typing import Final

CONSOLE_WORDS: Final[dict[tuple[str, str], str]] = {
    ("KeyLine", "id"): "The part of the key after `tk_`, by which logs name it.",
    ("KeyLine", "name"): "The purpose of the key, in the words of the operator who made it.",
    ("KeyLine", "scopes"): "What it may do: `notify` (to post), `admin`.",
    ("KeyLine", "created_at"): "When it was made.",
    ("KeyLine", "revoked_at"): "When it was revoked, or `null`.",
    ("KeyList", "keys"): "The keys.",
    ("KeyWish", "scopes"): "What it may do: `notify` (to post), `admin`.",
    ("KeyWish", "name"): "The purpose of the key, to tell it from others in the list.",
    ("KeyMade", "id"): "The part of the key after `tk_`, by which logs name it.",
    ("KeyMade", "text"): "The key itself.",
}
