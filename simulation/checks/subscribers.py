"""Who is in which topic, and who has muted what: as far as it can be known from outside.

What is on its way is neither so nor so. So there are two answers: who *must* get a notification
that was asked for at a time, and who *may*.
"""

from __future__ import annotations

from typing import Any, Final

from simulation.history import RequestStory

_DONE: Final = 204


class Subscribers:
    """See the module."""

    def __init__(self) -> None:
        self._joining: dict[tuple[str, str], list[RequestStory]] = {}
        self._leaving: dict[tuple[str, str], list[RequestStory]] = {}
        self._muted: dict[str, dict[tuple[str, str], None]] = {}
        self._seen: dict[str, float] = {}

    def asked(self, request: RequestStory) -> None:
        """Note *request*, if it is about topics or preferences."""
        user = request.who.partition("/")[0]
        match request.operation:
            case "subscribe" | "add_subscriber":
                user = request.path.get("user", user)
                self._joining.setdefault((user, request.path["topic"]), []).append(request)
            case "add_subscribers":
                for each in request.body["users"]:
                    self._joining.setdefault((each, request.path["topic"]), []).append(request)
            case "unsubscribe" | "remove_subscriber":
                user = request.path.get("user", user)
                self._leaving.setdefault((user, request.path["topic"]), []).append(request)
            case "set_preferences":
                self._mute(user, request.body)
            case _:
                pass

    def saw(self, user: str, at: float) -> None:
        """*user* was connected at *at*, and is among all from then on."""
        self._seen.setdefault(user, at)

    def must_have(self, user: str, topic: str, asked_at: float) -> bool:
        """Whether *user* was in *topic* for certain, before *asked_at* and ever since."""
        if topic == "*":
            return self._seen.get(user, asked_at) < asked_at
        joined = any(
            request.status is not None
            and request.status in (200, _DONE)
            and request.answered_at is not None
            and request.answered_at < asked_at
            for request in self._joining.get((user, topic), ())
        )
        return joined and (user, topic) not in self._leaving

    def may_have(self, user: str, topic: str) -> bool:
        """Whether *user* can have been in *topic* at any time."""
        return topic == "*" or (user, topic) in self._joining

    def may_have_muted(self, user: str, body: dict[str, Any]) -> bool:
        """Whether *user* asked at any time not to be told of such notifications as *body*."""
        if body.get("priority") == "critical":
            return False
        muted, to = self._muted.get(user, {}), body["to"]
        names = ("categories", body.get("category", "default")), ("topics", to.get("topic", "*"))
        return any(name in muted for name in names)

    def _mute(self, user: str, body: dict[str, Any]) -> None:
        for kind in ("categories", "topics"):
            for name, enabled in body.get(kind, {}).items():
                if not enabled:
                    self._muted.setdefault(user, {})[kind, name] = None
