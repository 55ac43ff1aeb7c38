"""Asks nodes where users are: now and then during the work, and at the end each about everybody.

What is said meanwhile is judged by a check (`checks.presence`). When all is quiet, every node has
to say exactly what the devices know. A device that polls is there while a poll waits, so of it
nobody can say whether it is; but nowhere else than where it polls. What is wrong is asked again,
until it is right: the leases of a node that has died end within half a minute.
"""

from __future__ import annotations

import math
from typing import Any, Final

from simulation.clients.devices import Device
from simulation.clients.requests import Question, Requester
from simulation.world.cluster import Cluster, Host
from simulation.world.history import RequestStory

_INTERVAL: Final = 3.0
"""Seconds after which what was wrong is asked again."""
_ROUNDED: Final = 0.002
"""Seconds by which a time in milliseconds may be early."""
_SAID: Final = 5.0
"""Seconds within which a node says that a device has come."""

_Place = tuple[str, str]
"""A device and a node."""


class Census:
    """See the module; asks something every *interval* seconds on average, until it is ended."""

    def __init__(self, cluster: Cluster, interval: float) -> None:
        self._cluster = cluster
        self._chance = cluster.chance("census")
        token = cluster.token("census", "notify")
        self._requester = Requester(cluster, "census", token, cluster.chance("network", "census"))
        self._interval = interval if cluster.plan.users else math.inf
        self._is_over = False
        self._wrong: dict[_Place, str] = {
            (host, user): f"{host} has not said where {user} is"
            for host in cluster.plan.node_names
            for user in cluster.plan.user_names
        }
        """By node and user: what is not as it should be."""
        self._under_way = 0
        self._ask_at = 0.0

    def begin(self) -> None:
        """Ask now and then, from now on."""
        self._cluster.timeline.after(self._chance.wait(self._interval), self._ask_somebody)

    def end(self) -> None:
        """Ask no more, but what `settled` has to know."""
        self._is_over = True

    def settled(self) -> str | None:
        """What a node has said last that is not so, or has not said yet."""
        if self._wrong and not self._under_way and self._cluster.timeline.now >= self._ask_at:
            self._ask_at = self._cluster.timeline.now + _INTERVAL
            for host, user in list(self._wrong):
                self._ask(self._cluster.hosts[host], user)
        return next(iter(self._wrong.values()), None)

    # --- Inside ----------------------------------------------------------------------------------

    def _ask_somebody(self) -> None:
        if self._is_over:
            return
        host = self._cluster.hosts[self._chance.one(self._cluster.plan.node_names)]
        path = {"user": self._chance.one(self._cluster.plan.user_names)}
        self._requester.ask(Question(operation="show_presence", path=path), host=host)
        self.begin()

    def _ask(self, host: Host, user: str) -> None:
        def done(story: RequestStory, _: float | None) -> None:
            self._under_way -= 1
            self._judge(user, story)

        question = Question(operation="show_presence", path={"user": user})
        if self._requester.ask(question, done, host=host) is not None:
            self._under_way += 1

    def _judge(self, user: str, story: RequestStory) -> None:
        key = story.host, user
        if story.status != 200:
            self._wrong[key] = f"{story.host} does not say where {user} is: {story.status}"
            return
        wrong = self._wrong_in(user, story)
        if wrong is None:
            self._wrong.pop(key, None)
        else:
            self._wrong[key] = f"{story.host} was asked where {user} is, and {wrong}"

    def _wrong_in(self, user: str, story: RequestStory) -> str | None:
        answer: dict[str, Any] = story.answer
        told: dict[_Place, str] = {
            (each["device"], each["node"]): each["since"] for each in answer["devices"]
        }
        if answer["online"] != bool(told):
            return f"says online {answer['online']}, and {len(told)} devices"
        for device in self._cluster.devices:
            if device.user == user and (wrong := self._wrong_of(device, told, story)) is not None:
                return wrong
        return f"says also {list(told)}" if told else None

    def _wrong_of(self, device: Device, told: dict[_Place, str], story: RequestStory) -> str | None:
        """Take out of *told* what is right of *device*."""
        session = device.session
        if session is None:
            return f"{device.name} is not there"
        place = device.name, session.story.host
        since = told.pop(place, None)
        if session.story.transport == "poll":
            return None
        if since is None:
            return f"does not say {place}"
        moment, began_at = self._cluster.moment_of(since), session.story.began_at
        is_so = began_at - _ROUNDED <= moment <= story.asked_at
        troubles = self._cluster.history.troubles
        if troubles.touch(began_at - _SAID, began_at + _SAID, "bus"):
            # The bus may have lost the word that it came, and the older one lives on.
            for left in device.left_behind:
                told.pop((device.name, left.story.host), None)
        if is_so or troubles.touch_by(began_at, story.asked_at, place[1], "clock"):
            return None
        return f"says {place} since {moment:.3f}, and that began at {began_at:.3f}"
