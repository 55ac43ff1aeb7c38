"""Standard Webhooks 1.0, the sender's half: bodies, and the signatures that receivers verify.

https://www.standardwebhooks.com: three headers; the signature is HMAC-SHA256 over
`<id>.<timestamp>.<body>`. While a secret is rotated out, the message has a signature with each.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from tocsin.protocol.receipts.receipt import Receipt, receipt_fields
from tocsin.protocol.receipts.sink import Secret
from tocsin.protocol.values import to_rfc3339

SECRET_BYTES: Final = 32
"""Bytes of a secret: as many as the hash has; the specification asks for 24 to 64."""
SECRETS_MAX: Final = 3
"""Secrets in force at a time: each costs every message a signature."""
OVERLAP: Final = 86400
"""Seconds for which a secret that was rotated out goes on signing, if nothing else is said."""
_PREFIX: Final = "whsec_"


def new_secret(entropy: bytes) -> str:
    """The text of a secret, from `SECRET_BYTES` of *entropy*."""
    return _PREFIX + base64.b64encode(entropy).decode()


def rotated(
    secrets: Iterable[Secret], fresh: str, now_ms: int, overlap: float
) -> tuple[Secret, ...]:
    """*secrets* with *fresh* in front; the former ones sign for *overlap* more seconds."""
    until = now_ms + round(overlap * 1000)
    former = [
        Secret(each.text, until if each.until is None else min(each.until, until))
        for each in in_force(secrets, now_ms)
    ]
    kept = [each for each in former if each.until is not None and each.until > now_ms]
    return (Secret(fresh), *kept[: SECRETS_MAX - 1])


def in_force(secrets: Iterable[Secret], now_ms: int) -> list[Secret]:
    """Those of *secrets* that sign at *now_ms*."""
    return [each for each in secrets if each.until is None or each.until > now_ms]


def signed_headers(
    message_id: str, body: bytes, secrets: Iterable[Secret], now_ms: int
) -> dict[str, str]:
    """The headers of one attempt; the timestamp is that of the attempt."""
    seconds = now_ms // 1000
    text = b"%b.%d.%b" % (message_id.encode(), seconds, body)
    marks = [_signature(each.text, text) for each in in_force(secrets, now_ms)]
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(marks),
    }


def message_of(
    receipts: Sequence[Receipt], epoch: str, gap: tuple[int, int] | None, *, alone: bool
) -> tuple[str, bytes]:
    """The id and the body of a message with *receipts*, the same at every attempt.

    With *alone*, for webhooks whose batches are single receipts, the body is the receipt itself.
    *gap* are the first and the last position that were purged in front of it.
    """
    fields = [receipt_fields(each, epoch) for each in receipts]
    data: dict[str, Any] = fields[0] if alone else {"receipts": fields}
    if gap is not None:
        data = data | {"gap": {"from": f"{epoch}-{gap[0]}", "to": f"{epoch}-{gap[1]}"}}
    kind = receipts[0].kind if alone else "receipts"
    body = msgspec.json.encode(
        {
            "type": f"notification.{kind}",
            "timestamp": to_rfc3339(receipts[-1].at),
            "data": data,
        }
    )
    # Another filter may choose other receipts between the same ends, and that is another message.
    digest = hashlib.blake2b(body, digest_size=6).hexdigest()
    return f"rcp_{epoch}_{receipts[0].position}_{receipts[-1].position}_{digest}", body


def _signature(secret: str, text: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()


def trial_message(webhook: str, now_ms: int) -> tuple[str, bytes]:
    """The id and the body of a message by which an operator tries a receiver."""
    body = {"type": "test", "timestamp": to_rfc3339(now_ms), "data": {"webhook": webhook}}
    return f"test_{now_ms}", msgspec.json.encode(body)


def letter_message(receipt: str, epoch: str, position: int, *, alone: bool) -> tuple[str, bytes]:
    """The id and the body of a message with one receipt, the JSON *receipt*, once more."""
    fields = msgspec.json.decode(receipt)
    kind = fields["kind"] if alone else "receipts"
    body = {
        "type": f"notification.{kind}",
        "timestamp": fields["at"],
        "data": fields if alone else {"receipts": [fields]},
    }
    return f"rcp_{epoch}_{position}_{position}_again", msgspec.json.encode(body)
