"""A user: marks notifications on any device, and changes subscriptions and preferences."""

from __future__ import annotations

import math
from typing import Final

from simulation.clients.devices import Device
from simulation.clients.posts import CATEGORIES, TOPICS
from simulation.clients.requests import Question
from simulation.clients.websocket import WebSocketSession
from simulation.clients.worker import Worker
from simulation.world.channels import CHANNELS
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory

_MARKS: Final = "seen", "seen", "read", "read", "read", "unread", "archived"
_OFF: Final = 0.15
"""The share of channels that a user switches off when setting preferences."""
_QUIET: Final = 0.4
"""The share of preferences with quiet hours."""
_MINUTE_MS: Final = 60_000
"""Milliseconds of a minute: quiet hours begin and end with one."""
_LOOKS: Final = "list_devices", "list_subscriptions", "show_preferences"


class User(Worker):
    """See the module; acts every *interval* seconds on average, if the user has a device."""

    def __init__(self, cluster: Cluster, name: str, devices: list[Device], interval: float) -> None:
        interval = interval if devices else math.inf
        super().__init__(cluster, name, cluster.chance("user", name), interval)
        self._devices = devices

    def _act(self) -> None:
        device, drawn = self.chance.one(self._devices), self.chance.random()
        if drawn < 0.65:
            self._mark(device)
        elif drawn < 0.8:
            self._list(device)
        elif drawn < 0.9:
            topic = {"topic": self.chance.one(TOPICS)}
            operation = self.chance.one(("subscribe", "subscribe", "unsubscribe"))
            self._ask(device.requester, Question(operation=operation, path=topic))
        elif drawn < 0.95:
            self._prefer(device)
        else:
            self._ask(device.requester, Question(operation=self.chance.one(_LOOKS)))
        self._pause()

    def _mark(self, device: Device) -> None:
        body: Frame = {"state": self.chance.one(_MARKS)}
        drawn, screen = self.chance.random(), device.screen
        if not screen.recent or screen.cursor is None:
            return  # there is nothing to mark
        if drawn < 0.75:
            ids = [self.chance.one(screen.recent) for _ in range(1 + int(self.chance.wait(2.0)))]
            body["ids"] = ids
        elif drawn < 0.92:
            body["through"] = screen.cursor
        else:
            body["all"] = True
        session = device.session
        is_frame = self.chance.happens(0.5)
        if is_frame and isinstance(session, WebSocketSession) and session.is_welcome:
            self._mark_by_frame(device, session, body)
        else:
            self._ask(device.requester, Question(operation="mark", body=body))

    def _mark_by_frame(self, device: Device, session: WebSocketSession, body: Frame) -> None:
        story = RequestStory(
            who=device.who,
            host=session.host.name,
            operation="mark",
            path={},
            body=body,
            key=None,
            attempt=1,
            asked_at=device.cluster.timeline.now,
        )
        session.mark(story, self._expect())

    def _list(self, device: Device) -> None:
        query = {"limit": str(self.chance.one((5, 50, 200)))}
        state = self.chance.one((None, "unread", "all", "archived"))
        if state is not None:
            query["state"] = state
        self._ask(device.requester, Question(operation="list_inbox", query=query))

    def _prefer(self, device: Device) -> None:
        mutes = self.cluster.plan.mutes
        muted = {name: False for name in CATEGORIES if self.chance.happens(mutes)}
        topics = {name: False for name in TOPICS if self.chance.happens(mutes)}
        body: Frame = {"categories": muted, "topics": topics}
        if self.cluster.plan.escalations:
            body |= self._channels()
        self._ask(device.requester, Question(operation="set_preferences", body=body))

    def _channels(self) -> Frame:
        """The person's words about channels; quiet hours are a minute or two, now or soon."""
        off = {name: False for name in CHANNELS if self.chance.happens(_OFF)}
        if not self.chance.happens(_QUIET):
            return {"channels": off}
        begin = self.cluster.now_ms() // _MINUTE_MS + self.chance.one((0, 0, 1))
        end = begin + self.chance.one((1, 2))
        quiet: Frame = {"from": _clock_time(begin), "to": _clock_time(end), "timezone": "UTC"}
        if self.chance.happens(0.5):
            quiet["channels"] = [self.chance.one(CHANNELS)]
        return {"channels": off, "quiet": quiet}


def _clock_time(minute: int) -> str:
    """The time of day of a *minute* since 1970."""
    hour, left = divmod(minute % (24 * 60), 60)
    return f"{hour:02}:{left:02}"
