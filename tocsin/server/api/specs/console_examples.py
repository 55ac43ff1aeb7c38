"""An example for each body that the console asks for and no other page shows."""

from __future__ import annotations

from typing import Any, Final

from tocsin.server.api.operators import inspecting, inspecting_answers, keys

_AT: Final = "2026-03-09T08:15:00.000Z"
_LATER: Final = "2026-03-09T08:15:02.125Z"

CONSOLE_EXAMPLES: Final[dict[Any, Any]] = {
    inspecting_answers.SampleList: {
        "node": "a1",
        "interval": 1.0,
        "columns": list(inspecting.SAMPLED),
        "rows": [[1764547200000, 128, 120, 3, 910, 4200, 310, 2, 0.21, 0.001, 98000000, 0, 1, 1]],
    },
    inspecting_answers.UserLine: {
        "user": "ada",
        "head": 812,
        "unread": 3,
        "unseen": 1,
        "devices": [
            {
                "device": "phone",
                "acknowledged": 810,
                "behind": 2,
                "last_seen": _LATER,
                "node": "a1",
                "since": _LATER,
            }
        ],
        "presence_known": True,
    },
    inspecting_answers.Explanation: {
        "says": "It is in the user's inbox; some devices do not have it yet.",
        "devices": [
            {
                "device": "phone",
                "says": "It acknowledged it at 2025-12-01T00:00:00.000Z; sent once.",
            }
        ],
    },
    keys.KeyList: {
        "keys": [
            {
                "id": "abcdefghijklmnop",
                "name": "shop",
                "scopes": ["notify"],
                "created_at": _AT,
                "revoked_at": None,
            }
        ]
    },
    keys.KeyWish: {"scopes": ["notify"], "name": "shop"},
    keys.KeyMade: {
        "id": "abcdefghijklmnop",
        "text": f"tk_abcdefghijklmnop_{'q' * 52}",
    },
}
