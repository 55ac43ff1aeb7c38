"""A producer: posts one notification after the other, and wants to know that each was accepted."""

from __future__ import annotations

import msgspec

from simulation.cluster import Cluster
from simulation.node import Request, Response


class Producer:
    """Posts, each to some users, every *interval* seconds on average, one at a time."""

    def __init__(self, cluster: Cluster, name: str, interval: float) -> None:
        self.cluster = cluster
        self.name = name
        self.chance = cluster.chance("producer", name)
        self.accepted: dict[str, tuple[str, ...]] = {}
        self._interval = interval
        self._token = cluster.token(name, "notify")
        self._posts = 0
        self._is_over = False

    def begin(self) -> None:
        self.cluster.timeline.after(self.chance.wait(self._interval), self._post)

    def end(self) -> None:
        self._is_over = True

    def _post(self) -> None:
        if self._is_over:
            return
        self._posts += 1
        users = (self.chance.one(self.cluster.plan.user_names),)
        title = f"{self.name}-{self._posts}"
        body = msgspec.json.encode({"to": {"users": users}, "title": title})
        request = Request(operation="publish", token=self._token, body=body)
        host = self.cluster.balance(self.chance)
        if host is None or host.node is None:
            self.begin()
            return

        def heard(response: Response, _: float) -> None:
            self.cluster.note(self.name, f"{title} {response.status} {response.body.decode()}")
            if response.status in (201, 202):
                self.accepted[msgspec.json.decode(response.body)["id"]] = users

        connection = host.connect(chance=self.chance, heard=heard, ended=self.begin)
        assert connection is not None
        self.cluster.note(self.name, f"posts {title} to {users} at {host.name}")
        host.node.process.enter(host.node.request, request, connection)
