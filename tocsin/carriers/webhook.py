"""A webhook of the operator's as a channel: one URL, which is told the person's address.

Signed as Standard Webhooks has it. The id of a message is that of its first send, so a receiver
that was told twice can tell.
"""

from __future__ import annotations

import msgspec

from tocsin.protocol.channels.carrying import (
    Accepted,
    Carried,
    ChannelDown,
    Parcel,
    Rejected,
    TryLater,
)
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed, OutboundPort
from tocsin.protocol.receipts.sink import Secret
from tocsin.protocol.receipts.webhook import signed_headers
from tocsin.protocol.values import to_rfc3339

_PASSING = frozenset({408, 425})  # statuses of 4xx that say "not now", of this request


class WebhookCarrier:
    """Implements `tocsin.protocol.channels.carrying.ChannelCarrier`, over *outbound*."""

    def __init__(self, outbound: OutboundPort, url: str, secret: str) -> None:
        self._outbound = outbound
        self._url = url
        self._secrets = (Secret(secret),)

    async def carry(self, parcel: Parcel) -> Carried:
        """Post *parcel*. Cancelled, it may have been taken."""
        body = _body(parcel)
        headers = signed_headers(parcel.send, body, self._secrets, parcel.now_ms)
        try:
            answer = await self._outbound.post(self._url, headers, body)
        except OutboundFailed as failed:
            reason = f"{failed.reason}: {failed}"
            if failed.reason in ("timeout", "not_http"):
                return TryLater(reason)
            return ChannelDown(reason, refused=failed.reason.startswith("forbidden"))
        return _judge(answer, parcel.now_ms)


def checked_address(text: str) -> str:
    """*text*, which means something to the receiver only; raises `ValueError` if it is no word."""
    if not text.isprintable() or text.startswith("{"):
        raise ValueError("is not one line of text")
    return text


def _body(parcel: Parcel) -> bytes:
    return msgspec.json.encode(
        {
            "type": "notification.escalated",
            "timestamp": to_rfc3339(parcel.now_ms),
            "data": {
                "user": parcel.user,
                "name": parcel.name,
                "address": parcel.value,
                "notifications": [msgspec.Raw(each.document) for each in parcel.notifications],
            },
        }
    )


def _judge(answer: OutboundAnswer, now_ms: int) -> Carried:
    status = answer.status
    if 200 <= status < 300:
        return Accepted()
    after = answer.retry_after(now_ms)
    if status == 429:
        return ChannelDown("429", after)
    if status in (401, 403, 404, 410):
        # The URL or the secret: the same for each parcel.
        return ChannelDown(str(status), refused=True)
    if status in _PASSING or not 400 <= status < 500:
        return TryLater(str(status), after)
    return Rejected(str(status))
