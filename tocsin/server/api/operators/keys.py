"""API keys, for operators: the list, a new one, and the end of one.

A key has no scope that the credential which makes it has not: `admin` alone makes no producer, so
that operating and posting stay apart.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.key_commands import ApiKey, CreateKey, RevokeKey
from tocsin.persistence.store.queries import ListKeys
from tocsin.protocol.refusal import refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api.answers import Answering, Timestamp
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import NO_CONTENT, Answer, Call, Caller, Operations, UrlQuery
from tocsin.server.auth.keys import generate_key

operations: Final = Operations("operators")

NAME_MAX: Final = 100
"""Characters of a key's name: one line of a list."""
_BODY_BYTES_MAX: Final = 2048
"""A name with escapes, and the scopes."""
Scope = Literal["notify", "admin"]


class KeyLine(Answering, frozen=True, kw_only=True):
    """An API key, without its text; *revoked_at* is `null` for one that is in force."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: Timestamp
    revoked_at: Timestamp | None


class KeyList(Answering, frozen=True, kw_only=True):
    """All API keys, the oldest first."""

    keys: list[KeyLine]


class KeyWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key that is to be made: what it may do, and what it is for."""

    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=2)]
    name: Annotated[str, Meta(max_length=NAME_MAX, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] = ""


class KeyMade(Answering, frozen=True, kw_only=True):
    """A new key, with its *text*, which is shown this once."""

    id: str
    text: str


@operations.define(
    *("GET", "/v1/admin/keys", "List the API keys"),
    caller=Caller.ADMIN,
    answers={200: KeyList},
)
async def list_keys(call: Call[UrlQuery, None]) -> Answer:
    """Also those that are revoked. The text of a key is kept nowhere."""
    found = await call.services.read(ListKeys())
    return Answer(KeyList(keys=[_line(each) for each in found.keys]))


@operations.define(
    *("POST", "/v1/admin/keys", "Make an API key"),
    caller=Caller.ADMIN,
    body=KeyWish,
    answers={201: KeyMade},
    body_bytes_max=_BODY_BYTES_MAX,
)
async def make_key(call: Call[UrlQuery, KeyWish]) -> Answer:
    """With scopes of the credential that asks, and no others. The text is shown this once."""
    scopes = tuple(sorted(set(call.body.scopes)))
    for scope in scopes:
        call.principal.require_scope(scope)
    made = generate_key(call.services.world.entropy)
    with audited(call, "API key made", key=made.id, scopes=scopes):
        stored = ApiKey(made.id, made.hash, scopes, call.body.name, call.now_ms)
        await call.services.write(CreateKey(stored))
    return Answer(KeyMade(id=made.id, text=made.text), 201)


@operations.define(
    *("DELETE", "/v1/admin/keys/{key}", "Revoke an API key"),
    caller=Caller.ADMIN,
    problems=("not_found",),
    answers={204: None},
)
async def revoke_key(call: Call[UrlQuery, None], key: str) -> Answer:
    """For good; again is no error. All nodes have forgotten it within five seconds."""
    with audited(call, "API key revoked", key=key):
        if isinstance(await call.services.write(RevokeKey(key, call.now_ms)), NotFound):
            raise refuse("not_found", "There is no API key with this id.")
    return NO_CONTENT


def _line(key: ApiKey) -> KeyLine:
    return KeyLine(
        id=key.id,
        name=key.name,
        scopes=msgspec.convert(key.scopes, list[Scope]),
        created_at=to_rfc3339(key.created_at),
        revoked_at=None if key.revoked_at is None else to_rfc3339(key.revoked_at),
    )
