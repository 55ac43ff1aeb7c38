"""A sentence for each parameter that stands in a path, by its name."""

from __future__ import annotations

from typing import Final

PATHS: Final[dict[str, str]] = {
    "notification": "The notification's id, as its post was answered with.",
    "user": "The user's id, percent-encoded where it has a `/` or the like.",
    "device": "The device's name.",
    "topic": "The topic's name.",
    "connector": "The connector's name, as the settings have it.",
    "sink": "The sink's name, as the settings have it.",
    "letter": "The dead letter's id.",
    "module": "The module's file name.",
    "channel": "The channel's name.",
    "name": "The address's name, of the caller's choosing: `main`, `firefox`.",
    "token": "The token of an unsubscribe link.",
    "webhook": "The webhook's id.",
    "position": "The receipt's place in the log.",
    "entry": "The entry's id, as the list of the spool shows it.",
    "key": "The key's id: the part after `tk_`.",
}
"""By parameter of a path."""
