"""Drafts as they come in, contents as they are kept, and views as clients see them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tocsin.protocol.notifications.notification import Content, Draft, client_view, content_of

NOW = 1_700_000_000_000
ID = "018bcfe5-6800-7000-8000-000000000000"


def draft(**fields: Any) -> Draft:
    """A draft as it comes in: through JSON."""
    return draft_of_json(json.dumps({"to": {"users": ["ann"]}, "title": "Hello"} | fields))


def draft_of_json(text: str) -> Draft:
    return msgspec.json.decode(text, type=Draft)


def content(**fields: Any) -> Content:
    return content_of(draft(**fields), ID, NOW)


def seen(content: Content) -> dict[str, Any]:
    view: dict[str, Any] = json.loads(client_view(content.document, "unseen", None, None))
    return view
