"""Words for the fields that a line of the list of dead letters and a letter have alike."""

from __future__ import annotations

from typing import Final

_FIELDS: Final = {
    "status": "`dead`, until somebody replays or discards it.",
    "notification": "The notification's id.",
    "id": "The letter's number.",
    "kind": "`delivery`, `ingest` (a message of a broker), `send`, or `receipt` (of a webhook).",
    "connector": "Of `ingest`: the connector that took it.",
    "user": "The user; `null` of `ingest`.",
    "channel": "Of `send`: the channel.",
    "address": "Of `send`: the address's name.",
    "webhook": "Of `receipt`: the webhook's id.",
}
LETTER_WORDS: Final = {
    (kind, field): words for kind in ("LetterLine", "Letter") for field, words in _FIELDS.items()
}
