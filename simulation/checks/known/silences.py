"""The silences of people: channels that are off, categories that are muted, and quiet hours, as far
as they can be known from outside.

A request without an answer may have been done at any later time, and two that overlap in any order.
So a person may have several preferences, and a send is wrong only if none of them wants it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from simulation.checks.known.inbox_model import Register
from simulation.world.history import Frame, RequestStory
from tocsin.persistence.store.escalation_commands import ClaimedSend, ClaimSends

_DONE: Final = 200
"""The status of a request that was done (RFC 9110 §15.3.1)."""
_UNKNOWN: Final = 500
"""Statuses from this one on do not say whether the request was done."""


class Silences:
    """See the module."""

    def __init__(self) -> None:
        self._preferences: dict[str, list[RequestStory]] = {}

    def asked(self, request: RequestStory) -> None:
        """Note *request*, if it is about preferences."""
        if request.operation == "set_preferences":
            user = request.who.partition("/")[0]
            self._preferences.setdefault(user, []).append(request)

    def judge(
        self, claimed: ClaimedSend, command: ClaimSends, priority: str, now: float
    ) -> str | None:
        """Why a send that was claimed *now*, by *command*, was not wanted; `None` if it may have
        been."""
        reasons = [
            _silence(body, claimed.category, priority, command)
            for body in self._possible(claimed.user, now)
        ]
        return None if None in reasons else reasons[0]

    def _possible(self, user: str, now: float) -> list[Frame]:
        register: Register[Frame] = Register({})
        for request in self._preferences.get(user, ()):
            if request.status == _DONE and request.answered_at is not None:
                register.put(request.body, request.asked_at, request.answered_at)
            elif request.status is None or request.status >= _UNKNOWN:
                register.put(request.body, request.asked_at, None)
        return register.values(now, now)


def _silence(body: Frame, category: str, priority: str, command: ClaimSends) -> str | None:
    if body.get("channels", {}).get(command.channel) is False:
        return "the person has switched the channel off"
    if priority == "critical":
        return None
    if body.get("categories", {}).get(category) is False:
        return f"the person has muted {category}"
    quiet = body.get("quiet")
    if quiet is None or command.channel not in quiet.get("channels", (command.channel,)):
        return None
    return f"it is quiet: {quiet}" if _is_quiet(quiet, command.now_ms) else None


def _is_quiet(quiet: dict[str, Any], now_ms: int) -> bool:
    """Whether *now_ms* is in the quiet hours, which here are in UTC and shorter than a day."""
    at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%H:%M")
    begin, end = quiet["from"], quiet["to"]
    inside: bool = begin <= at < end if begin < end else at >= begin or at < end
    return inside
