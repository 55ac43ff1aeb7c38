"""A notification: what a producer may say, what is kept of it, and what a client sees.

The content is written to JSON once, when it is accepted or changed, and kept as that text: it goes
to every device of every recipient with nothing but the recipient's own state spliced on
(`client_view`). Encoding it per device would be most of the cost of a fan-out.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.protocol.problems import FieldError, refuse
from tocsin.protocol.values import CATEGORY_PATTERN, IDENTIFIER_PATTERN, from_datetime, to_rfc3339

DATA_BYTES_MAX: Final = 32 * 1024
DATA_DEPTH_MAX: Final = 64
"""Levels of arrays and objects: every parser on the way uses its stack for them, ours as well."""
RECIPIENTS_MAX: Final = 1000
_TTL_MAX: Final = 10 * 365 * 86400.0
_AT_MAX: Final = 253_402_300_799_999
"""The end of the year 9999 in UTC, the last that RFC 3339 can write."""
# `$` alone would let a trailing newline through in Python.
_END: Final = r"(?!\n)"

UserId = Annotated[str, Meta(pattern=IDENTIFIER_PATTERN + _END)]
DeviceId = Annotated[str, Meta(pattern=IDENTIFIER_PATTERN + _END)]
Category = Annotated[str, Meta(pattern=CATEGORY_PATTERN + _END)]
Title = Annotated[str, Meta(min_length=1, max_length=256)]
Body = Annotated[str, Meta(max_length=4096)]
Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Priority = Literal["low", "normal", "high", "critical"]
Time = Annotated[datetime, Meta(tz=True)]
Ttl = Annotated[float, Meta(gt=0, le=_TTL_MAX)]


class State(StrEnum):
    """What one recipient has done with a notification; `withdrawn` is the producer's doing."""

    UNSEEN = "unseen"
    SEEN = "seen"
    READ = "read"
    ARCHIVED = "archived"
    WITHDRAWN = "withdrawn"


class Change(StrEnum):
    """What an entry of the user log did to its notification."""

    CREATED = "created"
    UPDATED = "updated"
    WITHDRAWN = "withdrawn"
    STATE = "state"


class Standing(StrEnum):
    """The notification's own life, as its producer sees it."""

    ACTIVE = "active"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Recipients(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a notification is for."""

    users: Annotated[list[UserId], Meta(min_length=1, max_length=RECIPIENTS_MAX)]


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a producer posts."""

    to: Recipients
    title: Title
    category: Category = "default"
    body: Body | None = None
    data: Any = None
    url: Url | None = None
    priority: Priority = "normal"
    expires_at: Time | None = None
    ttl: Ttl | None = None


class Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a producer may change afterwards; absent means unchanged, null means removed."""

    title: Title | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    body: Body | UnsetType | None = UNSET
    data: Any = UNSET
    url: Url | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    expires_at: Time | UnsetType | None = UNSET


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as the store keeps it, once for all recipients.

    *document* is the JSON object that clients see, without the recipient's own state.
    """

    id: str
    revision: int
    category: str
    created_at: int
    updated_at: int
    expires_at: int | None
    document: str


def content_of(draft: Draft, notification_id: str, now_ms: int) -> Content:
    """The first revision of *draft*; raises `ProblemError` where it contradicts itself."""
    created_at = to_rfc3339(now_ms)
    fields = {
        "id": notification_id,
        "category": draft.category,
        "title": draft.title,
        "body": draft.body,
        "data": _checked_data(draft.data),
        "url": draft.url,
        "priority": draft.priority,
        "topic": None,
        "revision": 1,
        "created_at": created_at,
        "updated_at": created_at,
    }
    return _content(fields, now_ms, now_ms, _expiry(draft, now_ms))


def patched(content: Content, patch: Patch, now_ms: int) -> Content:
    """The next revision of *content*; raises `ProblemError` if *patch* changes nothing."""
    changes = {
        name: value
        for name in ("title", "category", "body", "data", "url", "priority")
        if (value := getattr(patch, name)) is not UNSET
    }
    if not changes and patch.expires_at is UNSET:
        raise refuse("invalid", "Nothing to change: name at least one field.")
    if "data" in changes:
        _checked_data(changes["data"])
    fields = msgspec.json.decode(content.document) | changes
    fields["revision"] = content.revision + 1
    fields["updated_at"] = to_rfc3339(now_ms)
    expires_at = content.expires_at
    if patch.expires_at is not UNSET:
        expires_at = None if patch.expires_at is None else _future(patch.expires_at, now_ms)
    return _content(fields, content.created_at, now_ms, expires_at)


def client_view(document: str, state: str, seen_at: int | None, read_at: int | None) -> bytes:
    """The notification as one recipient sees it, spliced from its *document*."""
    seen = "null" if seen_at is None else f'"{to_rfc3339(seen_at)}"'
    read = "null" if read_at is None else f'"{to_rfc3339(read_at)}"'
    tail = f',"state":"{state}","seen_at":{seen},"read_at":{read}}}'
    return (document[:-1] + tail).encode()


def _content(
    fields: dict[str, Any], created_at: int, updated_at: int, expires_at: int | None
) -> Content:
    fields["expires_at"] = None if expires_at is None else to_rfc3339(expires_at)
    return Content(
        id=fields["id"],
        revision=fields["revision"],
        category=fields["category"],
        created_at=created_at,
        updated_at=updated_at,
        expires_at=expires_at,
        document=msgspec.json.encode(fields).decode(),
    )


def _checked_data(data: Any) -> Any:
    if _is_deeper(data, DATA_DEPTH_MAX):
        message = f"nested more than {DATA_DEPTH_MAX} levels deep"
        raise refuse("invalid", "`data` is nested too deeply.", [FieldError("$.data", message)])
    size = len(msgspec.json.encode(data))
    if size > DATA_BYTES_MAX:
        message = f"{size} bytes encoded; at most {DATA_BYTES_MAX} are allowed"
        raise refuse("invalid", "`data` is too large.", [FieldError("$.data", message)])
    return data


def _is_deeper(data: Any, depth: int) -> bool:
    """Whether *data* has more than *depth* levels; level by level, so that it cannot overflow."""
    level = [data]
    for _ in range(depth + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return True


def _expiry(draft: Draft, now_ms: int) -> int | None:
    if draft.ttl is not None and draft.expires_at is not None:
        wrong = FieldError("$.ttl", "goes without expires_at")
        raise refuse("invalid", "Give `ttl` or `expires_at`, not both.", [wrong])
    if draft.ttl is not None:
        return now_ms + round(draft.ttl * 1000)
    return None if draft.expires_at is None else _future(draft.expires_at, now_ms)


def _future(time: datetime, now_ms: int) -> int:
    at = from_datetime(time)
    if at <= now_ms:
        wrong = FieldError("$.expires_at", "is not in the future")
        raise refuse("invalid", "`expires_at` has passed already.", [wrong])
    if at > _AT_MAX:
        wrong = FieldError("$.expires_at", "is after the year 9999 in UTC")
        raise refuse("invalid", "`expires_at` is too far away.", [wrong])
    return at
