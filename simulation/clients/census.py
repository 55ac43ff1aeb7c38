"""The census: asks nodes where users are, now and then, and at the end every node about every user.

The answers during the work are judged by the check `checks.presence`. When all is quiet, every node
must say exactly what the devices know. A wrong answer is asked for again until it is right, because
the leases of a dead node only end within half a minute.

A device that polls is connected only while a poll waits, so a node may or may not name it, but on
no other node than the one where it polls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from simulation.clients.devices import Device
from simulation.clients.requests import Question, Requester
from simulation.clients.worker import Worker
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from simulation.world.host import Host

_INTERVAL: Final = 3.0
"""Seconds after which questions with a wrong answer are asked again."""
_ROUNDED: Final = 0.002
"""Seconds of tolerance: a time in an answer is rounded to milliseconds."""
_SAID: Final = 5.0
"""Seconds within which a node must say that a device has come."""

_Place = tuple[str, str]
"""A device and the node on which it is."""


class Census(Worker):
    """See the module. During the work it asks a question every *interval* seconds on average."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device], interval: float) -> None:
        name = "census"
        interval = interval if cluster.plan.users else math.inf
        super().__init__(cluster, name, cluster.chance(name), interval)
        self._devices = devices
        token = cluster.token(name, "notify")
        self._requester = Requester(cluster, name, token, cluster.chance("network", name))
        self._wrong: dict[_Place, str] = {
            (host, user): f"{host} has not said where {user} is"
            for host in cluster.plan.node_names
            for user in cluster.plan.user_names
        }
        """By node and user: why the node's last answer is not right yet."""
        self._ask_at = 0.0

    def settled(self) -> str | None:
        """An answer of some node that is not right yet, or `None` if all are right."""
        if self._wrong and not self._under_way and self.cluster.timeline.now >= self._ask_at:
            self._ask_at = self.cluster.timeline.now + _INTERVAL
            for host, user in list(self._wrong):
                self._check(self.cluster.hosts[host], user)
        return next(iter(self._wrong.values()), None)

    # --- Inside ----------------------------------------------------------------------------------

    def _act(self) -> None:
        host = self.cluster.hosts[self.chance.one(self.cluster.plan.node_names)]
        path = {"user": self.chance.one(self.cluster.plan.user_names)}
        self._requester.ask(Question(operation="show_presence", path=path), host=host)
        self._pause()

    def _check(self, host: Host, user: str) -> None:
        """Ask *host* about *user*, and judge its answer."""
        question = Question(operation="show_presence", path={"user": user})
        self._ask(self._requester, question, partial(self._judge, user), host=host)

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
        for device in self._devices:
            if device.user == user and (wrong := self._wrong_of(device, told, story)) is not None:
                return wrong
        return f"says also {list(told)}" if told else None

    def _wrong_of(self, device: Device, told: dict[_Place, str], story: RequestStory) -> str | None:
        """Remove the places of *device* from *told*; return what is wrong, if anything is."""
        session = device.session
        if session is None:
            return f"{device.name} is not there"
        place = device.name, session.story.host
        since = told.pop(place, None)
        if session.story.transport == "poll":
            return None
        if since is None:
            return f"does not say {place}"
        moment, began_at = self.cluster.moment_of(since), session.story.began_at
        is_so = began_at - _ROUNDED <= moment <= story.asked_at
        troubles = self.cluster.history.troubles
        if troubles.touch(began_at - _SAID, began_at + _SAID, "bus"):
            # The bus may have lost the news of this session, so that the older one is still listed.
            for left in device.left_behind:
                told.pop((device.name, left.story.host), None)
        if is_so or troubles.touch_by(began_at, story.asked_at, place[1], "clock"):
            return None
        return f"says {place} since {moment:.3f}, and that began at {began_at:.3f}"
