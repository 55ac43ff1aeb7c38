"""Long polls, one after the other. To the history each is a session, to the device all are one."""

from __future__ import annotations

from typing import Final

from simulation.clients.requests import PATIENCE, Asking, Question
from simulation.clients.sessions import Session
from simulation.world.history import Frame, RequestStory, sequence_of

_WAITS: Final = 0, 10, 25
"""Seconds for which a device lets its polls wait."""
_LIMITS: Final = 1, 10, 100
"""The most changes that a device asks for in one answer."""
_PAUSE: Final = 0.1
"""Mean seconds between two polls that wait for changes; `_IDLE` is between polls that do not."""
_IDLE: Final = 8.0
"""Mean seconds between two polls that do not wait."""
_CALM: Final = 1.0
"""The same for a device that behaves well."""


class PollSession(Session):
    """See the module, and `sessions`."""

    transport = "poll"
    acknowledges = False

    _asking: Asking | None = None
    _polls = 0

    def open(self) -> None:
        """Poll, again and again."""
        chance = self.device.chance
        self._wait = chance.one(_WAITS)
        self._limit = chance.one(_LIMITS)
        self._poll()

    def close(self) -> None:
        """Give up the poll that is under way."""
        if self._asking is not None:
            self._asking.abandon()

    @property
    def pauses(self) -> bool:
        """Whether no poll is under way."""
        return self._asking is None

    def _watch(self) -> None:
        """Do nothing: a poll has a time-out of its own."""

    def settle(self) -> None:
        """Process all pushes, and poll at once if no poll is under way."""
        super().settle()
        if self._asking is None:
            self._poll_again(self._polls)

    def _poll(self) -> None:
        self._polls += 1
        query = {
            "device": self.device.name,
            "wait": str(self._wait),
            "limit": str(self._limit),
        }
        if self.story.hello is not None:
            query["cursor"] = self.story.hello
        question = Question(operation="poll_changes", query=query)
        self._asking = self.device.requester.ask(
            question, self._answered, host=self.host, patience=self._wait + PATIENCE
        )
        if self._asking is None:
            self.end()

    def _answered(self, request: RequestStory, after: float | None) -> None:
        asking, self._asking = self._asking, None
        if self.is_over or asking is None:
            return
        if request.status != 200:
            self.end(after, reconnect=request.status != 409)
            return
        self.heard({"type": "changes", **request.answer}, asking.answered_from)
        if not self.is_over:
            self._closed()
            pause = 0.0 if request.answer["more"] else self.device.chance.wait(self._pause)
            self.device.cluster.timeline.after(pause, self._poll_again, self._polls)

    @property
    def _pause(self) -> float:
        if self._wait:
            return _PAUSE
        return _CALM if self.device.is_calm else _IDLE

    def _poll_again(self, polls: int) -> None:
        if self.is_over or polls != self._polls:
            return
        if self.host.is_up:
            self.story = self.new_story(self.device.screen.cursor)
            self.device.cluster.history.opened(self.story)
            self._poll()
        else:
            self.end()

    def heard(self, frame: Frame, sent_at: float, place: str | None = None) -> None:
        """Process the answer of a poll."""
        self.device.cluster.history.heard(self.story, frame, sent_at)
        cursor, changes = frame["cursor"], frame["changes"]
        if not self.is_welcome or frame.get("reset"):
            self._begin_with(cursor, changes)
        if frame.get("reset"):
            # Only now: before its first answer a session does not write to the screen, and would
            # leave what the device showed before.
            self.reset(frame["reason"])
        for push in changes:
            self.pushed(push)
        self._moved(sequence_of(cursor), cursor)
        if not frame["more"]:
            self.caught_up()
        if self._shows:
            self.device.screen.counters = frame["unread"], frame["unseen"]
        if (goodbye := frame.get("goodbye")) is not None:
            self.story.goodbye = goodbye
            self.end(goodbye["after"], reconnect=goodbye["reconnect"])

    def _begin_with(self, cursor: str, changes: list[Frame]) -> None:
        self.is_welcome = True
        self._epoch = cursor.partition(".")[0]
        start = changes[0]["previous"] if changes else sequence_of(cursor)
        self.begun(f"{self._epoch}.{start}", start)
        self.device.note(f"polls from {start}: {len(changes)} changes")
