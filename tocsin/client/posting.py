"""Posting one notification over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tocsin.client.calls import Call, UnreadableAnswer, ask

PATH: Final = "/v1/notifications"
_REMEDIES: Final[dict[int | str, str]] = {
    "idempotency_key_reused": "give another --key, or none",
    "timeout": "look at the server's /readyz; post again, with --key to be safe from doubles",
}


@dataclass(frozen=True, slots=True)
class Posted:
    """Durable now; *replayed*: it had been posted before, with the same idempotency key."""

    id: str
    replayed: bool


class _Accepted(msgspec.Struct):
    id: str


async def post(base: str, token: str, draft: dict[str, Any], key: str | None) -> Posted:
    """Post *draft* to the server at *base*; raises `CallFailed`.

    Cancelled, it may have been posted all the same; with the same *key* it can be posted again.
    """
    call = Call(
        "POST",
        PATH,
        verb="post",
        scope="notify",
        body=msgspec.json.encode(draft),
        headers={} if key is None else {"Idempotency-Key": key},
        remedies=_REMEDIES,
    )
    response = await ask(base, token, call)
    replayed = response.headers.get("Idempotency-Replayed") == "true"
    try:
        accepted = msgspec.json.decode(response.content, type=_Accepted)
    except msgspec.DecodeError:
        raise UnreadableAnswer(response.status_code) from None
    return Posted(accepted.id, replayed)
