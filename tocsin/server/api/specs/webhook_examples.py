"""Examples of receipts, webhooks and sinks; `examples` has them with the others."""

from __future__ import annotations

from typing import Any, Final

from tocsin.server.api import receipts
from tocsin.server.api.operators import sink_answers, sinks, webhook_letters, webhooks

_ID: Final = "0198f0a8-5c1e-7d3a-9b64-2f1c80a7e5d1"
_AT: Final = "2026-03-09T08:15:00.000Z"
_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwzH8dRZ5fVb0="

RECEIPT: Final = {
    "id": "k3v9q2-1042",
    "kind": "delivered",
    "at": _AT,
    "notification": _ID,
    "category": "orders",
    "user": "ada",
    "device": "phone",
    "channel": None,
    "detail": None,
}
_WEBHOOK: Final = {
    "id": _ID,
    "url": "https://shop.example/hooks/tocsin",
    "events": ["delivered", "read"],
    "categories": [],
    "batch_max": 100,
    "description": "Orders of the shop",
    "state": "active",
    "reason": None,
    "position": 1042,
    "behind": 0,
    "lost": 0,
    "failing_since": None,
    "succeeded_at": _AT,
    "created_at": _AT,
}
_LETTER: Final = {
    "position": 1042,
    "receipt": RECEIPT,
    "reason": "status_400",
    "at": _AT,
    "status": "dead",
}
_TESTED: Final = {"status": 200, "seconds": 0.041, "error": None, "answer": "ok"}

WEBHOOK_EXAMPLES: Final[dict[Any, Any]] = {
    sinks.SinkRewind: {"since": _AT},
    sink_answers.SinkList: {
        "sinks": [
            {
                "name": "audit",
                "kind": "kafka",
                "events": ["delivered", "read"],
                "categories": [],
                "state": "active",
                "reason": None,
                "position": 1042,
                "behind": 0,
                "lost": 0,
                "failing_since": None,
                "succeeded_at": _AT,
            }
        ],
    },
    receipts.ReceiptView: RECEIPT,
    receipts.ReceiptList: {
        "receipts": [RECEIPT],
        "cursor": "k3v9q2.1042",
        "more": False,
        "reset": False,
        "reason": None,
    },
    webhooks.WebhookRequest: {
        "url": "https://shop.example/hooks/tocsin",
        "events": ["delivered", "read"],
        "description": "Orders of the shop",
    },
    webhooks.WebhookPatch: {"events": ["delivered"], "categories": ["orders"]},
    webhooks.RotationRequest: {"overlap": 3600},
    webhooks.RewindRequest: {"since": _AT},
    webhooks.WebhookView: _WEBHOOK,
    webhooks.WebhookMade: {**_WEBHOOK, "succeeded_at": None, "secret": _SECRET},
    webhooks.WebhookList: {"webhooks": [_WEBHOOK]},
    webhooks.SecretRotated: {"secret": _SECRET},
    webhooks.WebhookTested: _TESTED,
    webhook_letters.WebhookLetter: _LETTER,
    webhook_letters.WebhookLetterList: {"letters": [_LETTER], "next": None},
}
