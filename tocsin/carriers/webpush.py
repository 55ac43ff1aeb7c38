"""Web Push (RFC 8030): the push service of a browser's maker keeps a message until it comes.

The request goes through the guarded client: the endpoint is a URL that a user names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from tocsin.protocol.channels.carrying import (
    Accepted,
    AddressGone,
    Carried,
    CarriedNotification,
    ChannelDown,
    Parcel,
    Rejected,
    TryLater,
)
from tocsin.protocol.channels.webpush import (
    PLAIN_BYTES_MAX,
    SALT_BYTES,
    encrypt,
    origin_of,
    public_key_text,
    push_topic,
    read_private_key,
    read_subscription,
    vapid_header,
)
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed, OutboundPort

_TTL_MAX: Final = 86400
"""Seconds for which a push service keeps a message: news of yesterday is no push."""
_HEADER_KEPT: Final = 3600
"""Seconds for which a VAPID header is used for an origin: making one costs 50 µs."""
_PAUSE: Final = 60
"""Seconds of a pause for a push service that asks for one, and does not say for how long."""
_ORIGINS_MAX: Final = 64
"""Origins whose headers are kept; there are a handful of push services."""
_URGENCY: Final = {"low": "low", "normal": "normal", "high": "high", "critical": "high"}
_FIELDS: Final = ("id", "category", "title", "body", "url", "priority")


class WebPushCarrier:
    """Implements `protocol.channels.carrying.ChannelCarrier`; *entropy* gives random bytes."""

    def __init__(
        self,
        outbound: OutboundPort,
        private_key: str,
        contact: str,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._outbound = outbound
        self._private = read_private_key(private_key)
        self._contact = contact
        self._entropy = entropy
        self._headers: dict[str, tuple[str, int]] = {}
        self._paused: dict[str, int] = {}
        self.key = public_key_text(self._private)

    async def carry(self, parcel: Parcel) -> Carried:
        """Push *parcel*: of a digest its newest, with the number of the others.

        Cancelled, it may have been pushed.
        """
        try:
            endpoint, point, auth = read_subscription(parcel.value)
        except ValueError as error:
            return Rejected(f"the subscription {error}")
        origin = origin_of(endpoint)
        now_s = parcel.now_ms // 1000
        if (until := self._paused.get(origin, 0)) > now_s:
            return TryLater("the push service asked for a pause", until - now_s)
        newest = parcel.notifications[-1]
        fields = newest.fields()
        # A key and a salt for each message (RFC 8291 §3.1).
        ours = ec.generate_private_key(ec.SECP256R1())
        plain = _plain(fields, len(parcel.notifications) - 1)
        body = encrypt(plain, point, auth, self._entropy(SALT_BYTES), ours)
        headers = {
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(_ttl(newest, parcel.now_ms)),
            "urgency": _URGENCY.get(str(fields["priority"]), "normal"),
            "topic": push_topic(newest.id),
            "authorization": self._vapid(endpoint, origin, now_s),
        }
        try:
            answer = await self._outbound.post(endpoint, headers, body)
        except OutboundFailed as failed:
            if failed.reason.startswith("forbidden"):
                return Rejected(f"{failed.reason}: {failed}")
            return TryLater(f"{failed.reason}: {failed}")
        return self._judge(answer, origin, parcel.now_ms)

    def _judge(self, answer: OutboundAnswer, origin: str, now_ms: int) -> Carried:
        status = answer.status
        if 200 <= status < 300:
            return Accepted()
        if status in (404, 410):
            return AddressGone(str(status))
        if status == 429 or status >= 500:
            after = answer.retry_after(now_ms)
            if status == 429:
                self._pause(origin, now_ms // 1000 + math.ceil(after or _PAUSE))
            return TryLater(str(status), after)
        if status in (401, 403):
            # Our key, and so each push to this service.
            return ChannelDown(f"{origin} answers {status}: it refuses our VAPID key", refused=True)
        return Rejected(str(status))

    def _pause(self, origin: str, until: int) -> None:
        if len(self._paused) >= _ORIGINS_MAX:
            self._paused.clear()
        self._paused[origin] = until

    def _vapid(self, endpoint: str, origin: str, now_s: int) -> str:
        header, made = self._headers.get(origin, ("", 0))
        if not header or not made <= now_s < made + _HEADER_KEPT:
            if len(self._headers) >= _ORIGINS_MAX:
                self._headers.clear()
            header = vapid_header(endpoint, self._private, self._contact, now_s)
            self._headers[origin] = (header, now_s)
        return header


def checked_subscription(text: str) -> str:
    """*text*, a browser's `PushSubscription`, without what is not used; raises `ValueError`."""
    endpoint, _, _ = read_subscription(text)
    if not endpoint.startswith(("https://", "http://")):
        raise ValueError("has an endpoint that is no address of the web")
    fields = msgspec.json.decode(text)
    kept = {
        "endpoint": endpoint,
        "keys": {name: fields["keys"][name] for name in ("p256dh", "auth")},
    }
    return msgspec.json.encode(kept).decode()


def _plain(fields: dict[str, Any], others: int) -> bytes:
    """The message for the browser: the fields that fit, the body cut at a character or left out."""
    told = {name: fields[name] for name in _FIELDS}
    if others:
        told["others"] = others
    plain = msgspec.json.encode(told)
    if (over := len(plain) - PLAIN_BYTES_MAX) > 0 and told["body"]:
        body = told["body"].encode()
        told["body"] = body[: max(0, len(body) - over - 3)].decode("utf-8", "ignore") + "…"
        plain = msgspec.json.encode(told)
        if len(plain) > PLAIN_BYTES_MAX:
            # Characters that JSON escapes take more than their bytes.
            told["body"] = None
            plain = msgspec.json.encode(told)
    if len(plain) > PLAIN_BYTES_MAX:
        told["url"] = None
        plain = msgspec.json.encode(told)
    return plain


def _ttl(notification: CarriedNotification, now_ms: int) -> int:
    if notification.expires_at is None:
        return _TTL_MAX
    return max(0, min(_TTL_MAX, (notification.expires_at - now_ms) // 1000))
