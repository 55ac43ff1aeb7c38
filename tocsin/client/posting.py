"""Posting one notification over HTTP."""

from __future__ import annotations

from typing import Any, Final

from tocsin.client.calls import Call, call_failed
from tocsin_client.errors import ApiError
from tocsin_client.posts import Posted
from tocsin_client.producer import Producer

_CALL: Final = Call(
    "POST",
    "/v1/notifications",
    verb="post",
    scope="notify",
    remedies={
        "idempotency_key_reused": "give another --key, or none",
        "timeout": "look at the server's /readyz; post again, with --key to be safe from doubles",
    },
)


async def post(base: str, token: str, draft: dict[str, Any], key: str | None) -> Posted:
    """Post *draft* to the server at *base*; raises `CallFailed`.

    Cancelled, it may have been posted all the same; with the same *key* it can be posted again.
    """
    # Without patience: a person sees what is wrong at once, and decides.
    async with Producer(base, token=token, patience=0.0) as producer:
        [outcome] = await producer.post_all([draft], [key])
    if isinstance(outcome, ApiError):
        raise call_failed(_CALL, outcome)
    return outcome
