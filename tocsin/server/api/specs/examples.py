"""An example for each body that is sent or answered, by its type. Tests hold them to the types."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tocsin.protocol.channels.webpush import PushSubscription
from tocsin.protocol.notifications.notification import Draft, Patch
from tocsin.protocol.problems import FieldError, problem
from tocsin.server.api import answers, channels, me, streams, topics, unsubscribing
from tocsin.server.api.operators import connector_answers
from tocsin.server.api.operators.connectors import SkipRequest
from tocsin.server.api.operators.dead_letters import LetterEdit
from tocsin.server.api.specs.console_examples import CONSOLE_EXAMPLES
from tocsin.server.api.specs.webhook_examples import WEBHOOK_EXAMPLES
from tocsin.server.marking import MarkedInbox, MarkRequest
from tocsin.server.producing.batch import BatchItem

_ID: Final = "0198f0a8-5c1e-7d3a-9b64-2f1c80a7e5d1"
_AT: Final = "2026-03-09T08:15:00.000Z"
_LATER: Final = "2026-03-09T08:15:02.125Z"
_CURSOR: Final = "k3v9q2.42"

_CONTENT: Final = {
    "id": _ID,
    "category": "orders",
    "title": "Your order is on its way",
    "body": "It should arrive on Thursday.",
    "data": {"order": 1042},
    "url": "https://shop.example/orders/1042",
    "priority": "normal",
    "topic": None,
    "revision": 1,
    "created_at": _AT,
    "updated_at": _AT,
    "expires_at": None,
}
_NOTIFICATION: Final = {**_CONTENT, "state": "unseen", "seen_at": None, "read_at": None}
_DRAFT: Final = {
    "to": {"users": ["ada"]},
    **{name: _CONTENT[name] for name in ("title", "body", "category", "data", "url")},
}
_PROBLEM: Final = msgspec.to_builtins(
    problem("invalid", "Expected `str`, got `int` (at $.title)",
            [FieldError("$.title", "Expected `str`, got `int`")])
)  # fmt: skip
_PUSH: Final = {
    "type": "push",
    "sequence": 42,
    "previous": 41,
    "change": "created",
    "attempt": 1,
    "replay": False,
    "unread": 1,
    "unseen": 1,
    "notification": _NOTIFICATION,
}
_LETTER: Final = {
    "id": 7,
    "notification": _ID,
    "user": "ada",
    "device": "phone",
    "cause": "attempts",
    "reason": "20 attempts without an acknowledgment",
    "attempts": 20,
    "first_sent_at": _AT,
    "dead_at": _LATER,
    "status": "dead",
}
_MAILBOX: Final = {"waiting": 0, "capacity": 4096}

PATH_EXAMPLES: Final[dict[str, str]] = {
    "notification": _ID,
    "user": "ada",
    "device": "phone",
    "topic": "incidents",
    "connector": "orders",
    "sink": "audit",
    "letter": "7",
    "entry": "1700000000000-0",
    "key": "abcdefghijklmnop",
    "module": "index.js",
    "channel": "email",
    "name": "main",
    "token": "WyJhZGEiLCJlbWFpbCIsImJ1aWxkcyJd.4EuGj3pOq3cHm0dMq9V0aaaa",
    "webhook": _ID,
    "position": "1042",
}
"""Values in paths, by their names there."""

EXAMPLES: Final[dict[Any, Any]] = {
    **WEBHOOK_EXAMPLES,
    **CONSOLE_EXAMPLES,
    Draft: _DRAFT,
    Patch: {"title": "Your order has been delayed", "body": None},
    BatchItem: {**_DRAFT, "idempotency_key": "order-1042-sent"},
    MarkRequest: {"state": "read", "ids": [_ID]},
    me.PreferencesRequest: {
        "categories": {"marketing": False, "builds": {"inbox": True, "email": False}},
        "topics": {},
        "quiet": {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"},
    },
    PushSubscription: {
        "endpoint": "https://push.example/wp/7f3a",
        "keys": {
            "p256dh": (
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
            ),
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    },
    unsubscribing.UnsubscribeForm: {"List-Unsubscribe": "One-Click"},
    channels.AddressRequest: {"address": "ada@example.org"},
    channels.ChannelList: {"channels": [{"name": "email", "kind": "email", "key": None}]},
    channels.AddressList: {
        "addresses": [
            {
                "channel": "email",
                "name": "main",
                "address": "ada@example.org",
                "created_at": _AT,
                "dead_reason": None,
            }
        ]
    },
    channels.SendList: {
        "sends": [
            {
                "user": "ada",
                "channel": "email",
                "address": "main",
                "step": 0,
                "state": "sent",
                "attempts": 1,
                "next_at": None,
                "sent_at": _LATER,
                "reason": None,
                "history": [{"at": _LATER, "event": "sent", "attempt": 1, "reason": None}],
            }
        ],
        "next": None,
    },
    channels.ChannelsAtWork: {
        "node": "a1",
        "channels": [
            {
                "name": "email",
                "kind": "email",
                "state": "ok",
                "waiting": 0,
                "outcomes": {"sent": 3},
                "last_error": None,
            }
        ],
    },
    streams.AckBody: {"device": "phone", "cursor": _CURSOR},
    topics.NewSubscribers: {"users": ["ada", "grace"]},
    topics.TopicRequest: {"closed": True},
    answers.Content: _CONTENT,
    answers.Notification: _NOTIFICATION,
    answers.ProducerNotification: {
        **_CONTENT,
        "state": "active",
        "counts": {
            "recipients": 1,
            "delivered": 1,
            "seen": 1,
            "read": 0,
            "expired": 0,
            "dead": 0,
            "sent": 1,
        },
    },
    answers.Published: {"id": _ID, "state": "active", "recipients": 1, "created_at": _AT},
    answers.PublishSpooled: {
        "id": _ID,
        "state": "active",
        "recipients": 1,
        "created_at": _AT,
        "durability": "spooled",
    },
    answers.ChangeSpooled: {"id": _ID, "durability": "spooled"},
    answers.SpoolState: {
        "available": True,
        "entries": 0,
        "poisoned": [
            {
                "entry": "1700000000000-0",
                "reason": "idempotency_key_reused",
                "payload": '{"v":1,"kind":"publish","command":{}}',
            }
        ],
    },
    SkipRequest: {"place": "events/0/17"},
    LetterEdit: {"message": _DRAFT},
    connector_answers.ConnectorList: {
        "node": "node-1",
        "connectors": [
            {
                "name": "orders",
                "kind": "redis",
                "state": "idle",
                "since": _AT,
                "reason": None,
                "lag": 0,
                "taken": 17,
                "accepted": 16,
                "replayed": 0,
                "refused": 1,
                "unkeyed": 0,
                "skips": [],
            }
        ],
    },
    answers.EntryReplayed: {"entry": "1700000000000-0", "status": "replayed"},
    answers.UserPresence: {
        "user": "ada",
        "online": True,
        "devices": [{"device": "phone", "node": "node-1", "since": _AT}],
    },
    answers.Batch: {
        "results": [{"status": 201, "id": _ID}, {"status": 422, "problem": _PROBLEM}],
    },
    answers.Ledger: {
        "deliveries": [
            {
                "user": "ada",
                "device": "phone",
                "attempts": 1,
                "first_sent_at": _AT,
                "acknowledged_at": _LATER,
                "outcome": "acknowledged",
                "reason": None,
            }
        ],
        "next": None,
    },
    answers.SubscribersPage: {"subscribers": ["ada", "grace"], "next": None},
    answers.SubscribersAdded: {"added": 2, "refused": []},
    me.TicketRequest: {"for": "stream", "device": "web"},
    answers.TopicRecord: {"topic": "incidents", "closed": True, "subscribers": 2},
    answers.IssuedTicket: {
        "ticket": "tt_aNQ3v8pQm1yZ0cXr5sKd2LwTfUe7bHgJ",
        "expires_at": "2026-03-09T08:15:30.000Z",
    },
    answers.InboxList: {
        "notifications": [_NOTIFICATION],
        "next": None,
        "unread": 1,
        "unseen": 1,
        "cursor": _CURSOR,
    },
    MarkedInbox: {"changed": 1, "unread": 0, "unseen": 0, "cursor": "k3v9q2.43"},
    answers.Preferences: {
        "categories": {"marketing": False, "builds": {"inbox": True, "email": False}},
        "topics": {},
        "quiet": {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"},
    },
    answers.Subscriptions: {"subscriptions": [{"topic": "incidents", "enabled": True}]},
    answers.DeviceList: {
        "devices": [{"device": "phone", "cursor": _CURSOR, "last_seen": _LATER}],
        "next": None,
    },
    answers.Alive: {"status": "ok"},
    answers.Readiness: {"status": "ok", "hops": {"store": "ok", "node": "ok"}},
    answers.ActorTree: {
        "node": "a1",
        "nodes": ["a1", "b1"],
        "actors": [
            {
                "path": "/storage",
                "mailbox": _MAILBOX,
                "restarts": 0,
                "last_error": None,
                "child_count": 0,
                "children": [],
            }
        ],
    },
    answers.LetterList: {"dead_letters": [_LETTER], "next": None},
    answers.Letter: {
        **_LETTER,
        "history": [{"at": _LATER, "event": "dead"}],
        "content": _CONTENT,
    },
    answers.LetterReplayed: {"id": 7, "status": "replayed"},
    streams.Changes: {
        "changes": [_PUSH],
        "cursor": _CURSOR,
        "more": False,
        "unread": 1,
        "unseen": 1,
    },
}

TEXTS: Final = {
    "text/event-stream": 'id: k3v9q2.42\nevent: push\ndata: {"type":"push","sequence":42,…}\n\n',
    "text/css": "main { max-width: 76rem }\n",
    "text/plain": "tocsin_users_online 128.0\n",
    "application/x-www-form-urlencoded": "List-Unsubscribe=One-Click",
    "multipart/form-data": "--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--\r\n",
    "application/x-ndjson": (
        msgspec.json.encode(_DRAFT) + b"\n" + msgspec.json.encode(_DRAFT) + b"\n"
    ).decode(),
}
"""Examples of what is no JSON, by media type."""

FRAMES: Final[dict[str, dict[str, Any]]] = {
    "Hello": {"type": "hello", "device": "phone", "cursor": "k3v9q2.41", "window": 64},
    "Ack": {"type": "ack", "sequence": 42},
    "Nack": {"type": "nack", "id": _ID, "reason": "disk full", "after": 30.0},
    "Mark": {"type": "mark", "request": "r1", "state": "read", "ids": [_ID]},
    "Publish": {"type": "publish", "request": "r2", "notification": _DRAFT},
    "Refresh": {"type": "refresh", "token": "eyJhbGciOi…"},
    "Ping": {"type": "ping"},
    "Welcome": {
        "type": "welcome",
        "user": "ada",
        "device": "phone",
        "connection": "c7f3a1",
        "node": "a1",
        "epoch": "k3v9q2",
        "cursor": "k3v9q2.41",
        "head": 42,
        "unread": 1,
        "unseen": 1,
        "resumed": True,
        "heartbeat": 25.0,
        "window": 64,
        "resend": {"delay": 10.0, "limit": 5},
    },
    "ProducerWelcome": {
        "type": "welcome",
        "user": None,
        "device": None,
        "connection": "c7f3a1",
        "node": "a1",
    },
    "PushFrame": _PUSH,
    "Synced": {"type": "synced", "sequence": 42},
    "Counters": {"type": "counters", "unread": 3, "unseen": 1},
    "Reset": {"type": "reset", "reason": "horizon"},
    "Status": {"type": "status", "bus": "ok", "store": "lost"},
    "Reply": {
        "type": "reply",
        "request": "r1",
        "ok": True,
        "result": {"changed": 1, "unread": 0, "unseen": 0, "cursor": "k3v9q2.43"},
    },
    "Pong": {"type": "pong"},
    "Goodbye": {
        "type": "goodbye",
        "code": 4429,
        "reason": "rate_limited",
        "reconnect": True,
        "after": 10.0,
        "detail": "More than 1000 frames at once, or 200 a second.",
    },
}
"""A frame of each kind, by the name of its type."""
