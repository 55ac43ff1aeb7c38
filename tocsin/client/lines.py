"""A push as one line for people.

The text of a notification was written by one person and goes to the terminal of another: line
breaks and control characters, which could steer it, are shown as spaces.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Final

from tocsin_client.frames import Push

_BLANKS: Final = re.compile(r"\s+")
_URGENT: Final = {"high": "!", "critical": "!!"}
BODY_MAX: Final = 200
"""Characters of the body; the whole is in the raw frame."""


def push_line(push: Push, at: datetime) -> str:
    """`time  category  (what happened)  title: body  url`; *at* is when it came, in local time."""
    notification = push.notification
    happened = {
        "updated": "(updated)",
        "withdrawn": "(withdrawn)",
        "state": f"({plain(notification.state)})",
    }.get(push.change, "")
    title = plain(notification.title)
    if notification.body and push.change != "withdrawn":
        title += f": {_shortened(plain(notification.body))}"
    parts = [
        at.strftime("%H:%M:%S"),
        plain(notification.category),
        _URGENT.get(notification.priority, ""),
        happened,
        title,
        plain(notification.url or ""),
        f"(attempt {push.attempt})" if push.attempt > 1 else "",
    ]
    return "  ".join(part for part in parts if part)


def plain(text: str) -> str:
    """*text* on one line, without anything that a terminal would obey."""
    blank = "".join(
        " " if unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else each
        for each in text
    )
    return _BLANKS.sub(" ", blank).strip()


def _shortened(text: str) -> str:
    return text if len(text) <= BODY_MAX else text[: BODY_MAX - 1] + "…"
