"""A notification in its three forms: the producer's draft, the stored content, the client's view.

The content is written to JSON once, when it is accepted or changed, and kept as that text: it goes
to every device of every recipient with nothing but the recipient's own state spliced on
(`client_view`). Encoding it per device would be most of the cost of a fan-out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.protocol.channels.escalation import Escalate
from tocsin.protocol.instants import INSTANT_CHARACTERS_MAX, INSTANT_PATTERN, parse_instant
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.user_ids import USER_ID_CHARACTERS_MAX, USER_ID_PATTERN
from tocsin.protocol.values import (
    CATEGORY_PATTERN,
    EARLIEST,
    IDENTIFIER_PATTERN,
    LATEST,
    to_rfc3339,
)

DATA_BYTES_MAX: Final = 32 * 1024
"""Bytes of encoded JSON: what an app needs to act; larger things are linked."""
DATA_DEPTH_MAX: Final = 64
"""Levels of arrays and objects: every parser on the way uses its stack for them, ours as well."""
RECIPIENTS_MAX: Final = 1000
"""Users of one post: as many rows as one transaction writes at once; more users are a topic."""
_TTL_MAX: Final = 10 * 365 * 86400.0
"""Seconds, ten years: a longer time to live is a typing error."""
# `$` alone would let a trailing newline through in Python.
_END: Final = r"(?!\n)"

UserId = Annotated[
    str, Meta(min_length=1, max_length=USER_ID_CHARACTERS_MAX, pattern=USER_ID_PATTERN + _END)
]
DeviceId = Annotated[str, Meta(pattern=IDENTIFIER_PATTERN + _END)]
Topic = Annotated[str, Meta(pattern=IDENTIFIER_PATTERN + _END)]
CollapseKey = Annotated[
    str,
    Meta(
        pattern=r"^[\x21-\x7e]{1,255}$" + _END,
        description="One with the same key is replaced where it was not delivered, else updated.",
    ),
]
EVERYONE: Final = "*"
"""The topic that every user is in from the time they were first seen; no producer can name it."""
Category = Annotated[
    str, Meta(pattern=CATEGORY_PATTERN + _END, description="Users may mute it, if not `critical`.")
]
Title = Annotated[str, Meta(min_length=1, max_length=256)]
Body = Annotated[str, Meta(max_length=4096)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, description="Where a click on it leads.")]
Priority = Literal["low", "normal", "high", "critical"]
Instant = Annotated[
    str,
    Meta(
        max_length=INSTANT_CHARACTERS_MAX,
        pattern=INSTANT_PATTERN,
        description="RFC 3339, with any offset; milliseconds count.",
        extra_json_schema={"format": "date-time"},
    ),
]
"""Kept as text until needed, so that drafts are compared and stored as they were written."""
Ttl = Annotated[
    float, Meta(gt=0, le=_TTL_MAX, description="Seconds from its delivery until it expires.")
]


class State(StrEnum):
    """A notification's state for one recipient; `withdrawn` is the producer's doing."""

    UNSEEN = "unseen"
    SEEN = "seen"
    READ = "read"
    ARCHIVED = "archived"
    WITHDRAWN = "withdrawn"


class Change(StrEnum):
    """The effect of a log entry on its notification."""

    CREATED = "created"
    UPDATED = "updated"
    WITHDRAWN = "withdrawn"
    STATE = "state"


class Standing(StrEnum):
    """The notification's own life, as its producer sees it."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Recipients(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The recipients of a notification: exactly one of the three is given."""

    users: Annotated[list[UserId], Meta(min_length=1, max_length=RECIPIENTS_MAX)] | None = None
    topic: Topic | None = None
    all: Literal[True] | None = None


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A notification as a producer posts it."""

    to: Recipients
    title: Title
    category: Category = "default"
    body: Body | None = None
    data: Any = None
    url: Url | None = None
    priority: Priority = "normal"
    deliver_at: Instant | None = None
    expires_at: Instant | None = None
    ttl: Ttl | None = None
    collapse_key: CollapseKey | None = None
    escalate: Escalate | UnsetType = UNSET


class Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A producer's change to a notification; absent means unchanged, null means removed."""

    title: Title | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    body: Body | UnsetType | None = UNSET
    data: Any = UNSET
    url: Url | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    expires_at: Instant | UnsetType | None = UNSET


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as the store keeps it, once for all recipients.

    *document* is the JSON object that clients see, without the recipient's own state. *topic* is
    the one it came through, `EVERYONE` if it is for all.
    """

    id: str
    revision: int
    category: str
    priority: str = "normal"
    topic: str | None = None
    collapse_key: str | None = None
    created_at: int
    updated_at: int
    expires_at: int | None
    document: str


def topic_of(recipients: Recipients) -> str | None:
    """The topic that *recipients* names, `EVERYONE` for all, `None` for users.

    Raises `Refused` unless it is one of the three.
    """
    given = [recipients.users, recipients.topic, recipients.all]
    if sum(each is not None for each in given) != 1:
        wrong = [FieldError("$.to", "give `users`, `topic` or `all`, one of the three")]
        raise refuse(
            "invalid", "The request names no recipients, or names them in two ways.", wrong
        )
    return EVERYONE if recipients.all else recipients.topic


def delivery_time(draft: Draft, now_ms: int) -> int | None:
    """When *draft* wants to be delivered (Unix ms), if that is still to come.

    A time that has passed means now: it may have passed on the way to us.
    """
    at = _instant("deliver_at", draft.deliver_at)
    return at if at is not None and at > now_ms else None


def has_passed(content: Content, deliver_at: int | None, now_ms: int) -> bool:
    """Whether *content* will have expired when it is delivered: at *deliver_at* (Unix ms) or now.

    Asked of new notifications only: a repetition is answered as such, however late it comes.
    """
    return content.expires_at is not None and content.expires_at <= (deliver_at or now_ms)


def refuse_passed() -> Refused:
    """The refusal of new content that `has_passed`."""
    wrong = FieldError("$.expires_at", "is not behind the time of delivery")
    return refuse("invalid", "`expires_at` will have passed already when it is delivered.", [wrong])


def answer_to_publish(content: Content, standing: str, recipients: int) -> str:
    """The JSON that a producer gets for a publish."""
    return (
        f'{{"id":"{content.id}","state":"{standing}","recipients":{recipients},'
        f'"created_at":"{to_rfc3339(content.created_at)}"}}'
    )


def content_of(
    draft: Draft, notification_id: str, now_ms: int, posted_ms: int | None = None
) -> Content:
    """The first revision of *draft*; raises `Refused` where it contradicts itself.

    The check does not depend on *now_ms*: whether it comes too late is another question
    (`has_passed`). Its `ttl` counts from *posted_ms*, if it was posted before now.
    """
    topic = topic_of(draft.to)
    created_at = to_rfc3339(now_ms)
    fields = {
        "id": notification_id,
        "category": draft.category,
        "title": draft.title,
        "body": draft.body,
        "data": _checked_data(draft.data),
        "url": draft.url,
        "priority": draft.priority,
        "topic": None if topic == EVERYONE else topic,
        "revision": 1,
        "created_at": created_at,
        "updated_at": created_at,
    }
    expires_at = _expiry(draft, now_ms if posted_ms is None else posted_ms)
    return _content(fields, now_ms, now_ms, expires_at, topic, draft.collapse_key)


def patched(content: Content, patch: Patch, now_ms: int, deliver_at: int | None = None) -> Content:
    """The next revision of *content*, which waits for *deliver_at* (Unix ms) if that is given.

    Raises `Refused` if *patch* changes nothing, or cannot be done.
    """
    changes = {
        name: value
        for name in ("title", "category", "body", "data", "url", "priority")
        if (value := getattr(patch, name)) is not UNSET
    }
    if not changes and patch.expires_at is UNSET:
        raise refuse("invalid", "Nothing to change: name at least one field.")
    if "data" in changes:
        changes["data"] = _checked_data(changes["data"])
    fields = msgspec.json.decode(content.document) | changes
    fields["revision"] = content.revision + 1
    fields["updated_at"] = to_rfc3339(now_ms)
    expires_at = content.expires_at
    if patch.expires_at is not UNSET:
        from_ms = now_ms if deliver_at is None else max(now_ms, deliver_at)
        expires_at = _instant("expires_at", patch.expires_at)
        if expires_at is not None and expires_at <= from_ms:
            raise refuse_passed()
    return _content(
        fields, content.created_at, now_ms, expires_at, content.topic, content.collapse_key
    )


def client_view(document: str, state: str, seen_at: int | None, read_at: int | None) -> bytes:
    """The notification as one recipient sees it, spliced from its *document*."""
    seen = "null" if seen_at is None else f'"{to_rfc3339(seen_at)}"'
    read = "null" if read_at is None else f'"{to_rfc3339(read_at)}"'
    tail = f',"state":"{state}","seen_at":{seen},"read_at":{read}}}'
    return (document[:-1] + tail).encode()


def superseded(content: Content, newer: Content) -> Content:
    """The revision of *content* that carries the text of *newer*: the result of collapsing the
    two."""
    fields = msgspec.json.decode(newer.document)
    earlier = msgspec.json.decode(content.document)
    fields |= {"id": content.id, "created_at": earlier["created_at"]}
    fields["revision"] = content.revision + 1
    return _content(
        fields,
        content.created_at,
        newer.created_at,
        newer.expires_at,
        content.topic,
        content.collapse_key,
    )


def _content(
    fields: dict[str, Any],
    created_at: int,
    updated_at: int,
    expires_at: int | None,
    topic: str | None,
    collapse_key: str | None,
) -> Content:
    fields["expires_at"] = None if expires_at is None else to_rfc3339(expires_at)
    return Content(
        id=fields["id"],
        revision=fields["revision"],
        category=fields["category"],
        priority=fields["priority"],
        topic=topic,
        collapse_key=collapse_key,
        created_at=created_at,
        updated_at=updated_at,
        expires_at=expires_at,
        document=msgspec.json.encode(fields).decode(),
    )


def _checked_data(data: Any) -> msgspec.Raw:
    """*data* as JSON, which is encoded once; raises `Refused` if it is too deep or too large."""
    try:
        encoded = msgspec.json.encode(data)
    except RecursionError:
        raise _too_deep() from None
    # Data with few brackets cannot be deep, and nearly all have few.
    brackets = encoded.count(b"{") + encoded.count(b"[")
    if brackets > DATA_DEPTH_MAX and _is_deeper(data, DATA_DEPTH_MAX):
        raise _too_deep()
    if len(encoded) > DATA_BYTES_MAX:
        message = f"{len(encoded)} bytes encoded; at most {DATA_BYTES_MAX} are allowed"
        raise refuse("invalid", "`data` is too large.", [FieldError("$.data", message)])
    return msgspec.Raw(encoded)


def _too_deep() -> Refused:
    message = f"nested more than {DATA_DEPTH_MAX} levels deep"
    return refuse("invalid", "`data` is nested too deeply.", [FieldError("$.data", message)])


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
    """When *draft*, posted at *now_ms*, expires."""
    expires_at = _instant("expires_at", draft.expires_at)
    if draft.ttl is not None:
        if expires_at is not None:
            wrong = FieldError("$.ttl", "goes without expires_at")
            raise refuse("invalid", "Give `ttl` or `expires_at`, not both.", [wrong])
        from_ms = delivery_time(draft, now_ms) or now_ms
        return _writable("ttl", from_ms + round(draft.ttl * 1000))
    deliver_at = _instant("deliver_at", draft.deliver_at)
    if expires_at is not None and deliver_at is not None and expires_at <= deliver_at:
        raise refuse_passed()
    return expires_at


def _instant(field: str, text: str | None) -> int | None:
    """The time that *field* names (Unix ms); raises `Refused` where it is none."""
    if text is None:
        return None
    try:
        at = parse_instant(text)
    except ValueError as error:
        wrong = FieldError(f"$.{field}", str(error))
        raise refuse("invalid", f"`{field}` {error}.", [wrong]) from None
    # Long ago is long ago.
    return _writable(field, max(at, EARLIEST))


def _writable(field: str, at: int) -> int:
    """The time *at* that *field* asks for; raises `Refused` if RFC 3339 cannot write it."""
    if at > LATEST:
        wrong = FieldError(f"$.{field}", "is after the year 9999 in UTC")
        raise refuse("invalid", f"`{field}` is too far away.", [wrong])
    return at
