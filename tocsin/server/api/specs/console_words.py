"""Words for fields of what the console asks for, by type and field: see `words`."""

from __future__ import annotations

from typing import Final

CONSOLE_WORDS: Final[dict[tuple[str, str], str]] = {
    ("KeyLine", "id"): "The part of the key after `tk_`, by which logs name it.",
    ("KeyLine", "name"): "The purpose of the key, in the words of the operator who made it.",
    ("KeyLine", "scopes"): "What it may do: `notify` (to post), `admin`.",
    ("KeyLine", "created_at"): "When it was made.",
    ("KeyLine", "revoked_at"): "When it was revoked, or `null`.",
    ("KeyList", "keys"): "The keys.",
    ("KeyWish", "scopes"): "What it may do: `notify` (to post), `admin`.",
    ("KeyWish", "name"): "The purpose of the key, to tell it from others in the list.",
    ("KeyMade", "id"): "The part of the key after `tk_`, by which logs name it.",
    ("KeyMade", "text"): "The key itself.",
    ("SampleList", "rows"): "The samples, each with a value for every column.",
    ("SampleList", "columns"): "The names of the values, the time in Unix milliseconds first.",
    ("SampleList", "interval"): "Seconds between two samples.",
    ("UserLine", "devices"): "The devices that are known, by name.",
    ("UserLine", "presence_known"): "Whether the other nodes could be asked who is connected.",
    ("SeenDevice", "behind"): "How many changes the device has not acknowledged.",
    ("Explanation", "says"): "A sentence about the notification and the user.",
    ("Explanation", "devices"): "A sentence for each of the user's devices.",
    ("DeviceExplanation", "says"): "A sentence about the device.",
    ("ActorTree", "nodes"): "The nodes whose actors can be asked for.",
}
