"""The posts of the shop's backend, by the buttons that send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ADA: Final = ["ada"]
BOB: Final = ["bob"]
BOTH: Final = ["ada", "bob"]
BURST: Final = 20
"""Notifications at once: more than a screen shows."""

POSTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "order": {
        "to": ADA,
        "title": "Your order is on its way",
        "body": "The walnut desk lamp arrives tomorrow between 9 and 12.",
        "url": "/?order=1042",
        "category": "orders",
    },
    "support": {
        "to": BOB,
        "title": "Mia from support has replied",
        "body": "“The left hinge is in the post. Sorry about that!”",
        "url": "/?ticket=77",
        "category": "support",
    },
    "payment": {
        "to": ADA,
        "title": "Your card was declined",
        "body": "Choose another way to pay within 24 hours, and we keep the chair for you.",
        "url": "/?order=1043",
        "category": "orders",
        "priority": "critical",
    },
    "offer": {
        "to": BOTH,
        "title": "Wool blankets are 20 % off",
        "body": "Until Sunday, in all six colours.",
        "category": "offers",
    },
}
"""Button → the arguments of `Producer.post`."""

DELIVERED: Final = {
    "title": "Your order was delivered",
    "body": "The walnut desk lamp is with your neighbour at number 14.",
}
"""The change of the last order."""
