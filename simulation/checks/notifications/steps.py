"""P1 for people whom no device reaches: each step that is due concerns all whom it has to concern.

A witness of the store's transactions looks at the plans that are due before one that escalates, and
behind it at the sends: a person who was not satisfied before and after, and had a living address
before and after, has a send to it for that step, whatever became of it since. A notification of a
topic concerns those who are in it by then. Plans that were begun go on until their last step; none
is left behind when all has settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from simulation.checks.check import Check
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.escalation_commands import Escalate
from tocsin.persistence.store.results import Result

_DUE: Final = """
    SELECT e.notification_id, e.revision, e.step, e.steps, n.revision
    FROM escalations AS e JOIN notifications AS n ON n.id = e.notification_id
    WHERE e.due_at <= ? AND n.standing = 'active' AND coalesce(n.expires_at, ?) >= ?
"""
_CONCERNED: Final = """
    SELECT i.user_id, a.name
    FROM inbox AS i JOIN addresses AS a ON a.user_id = i.user_id
    JOIN notifications AS n ON n.id = i.notification_id
    WHERE i.notification_id = ? AND a.channel = ? AND a.dead_at IS NULL AND i.expired_at IS NULL
        AND i.state NOT IN ('withdrawn', 'archived', 'read')
        AND (n.topic IS NULL OR EXISTS (SELECT 1 FROM subscriptions AS s
            WHERE s.topic = n.topic AND s.user_id = i.user_id AND s.active))
        AND (? = 'read' OR i.state = 'unseen') AND (? <> 'delivered' OR i.delivered_at IS NULL)
"""
_PLAN: Final = "SELECT revision, step FROM escalations WHERE notification_id = ?"
_STANDING: Final = "SELECT standing, revision FROM notifications WHERE id = ?"
_SENDS: Final = """
    SELECT user_id, address, count(*) FROM sends
    WHERE notification_id = ? AND step = ? AND id LIKE ? GROUP BY user_id, address
"""
_LEFT: Final = "SELECT notification_id, step FROM escalations"
_BEGUN: Final = "SELECT 1 FROM escalations WHERE notification_id = ?"
_QUICK: Final = 0.9
"""Seconds: a post that was answered so soon cannot have come to its first step."""


class _Step(NamedTuple):
    notification: str
    revision: int
    step: int
    channel: str
    unless: str
    version: int
    """The notification's revision, while that of the plan is the one with which it began."""


class Steps(Check):
    """See the module; without escalations in the plan it has nothing to judge."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._due: dict[_Step, set[tuple[str, str]]] = {}
        if cluster.plan.escalations:
            cluster.store.witnesses.append(self)

    def before(self, commands: Sequence[Command[Any]]) -> None:
        """Note the steps that are due, and whom they concern."""
        self._due = {}
        for command in commands:
            if isinstance(command, Escalate):
                now = command.now_ms
                for id_, revision, step, steps, version in self._rows(now):
                    terms = msgspec.json.decode(steps)[step]
                    unless = terms.get("unless", "delivered")
                    due = _Step(id_, revision, step, terms["channel"], unless, version)
                    self._due[due] = self._people_of(due)

    def after(self, commands: Sequence[Command[Any]], results: Sequence[Result]) -> None:
        """Judge the steps that are over now."""
        for due, concerned in self._due.items():
            if not self._is_over(due):
                continue
            still = self._people_of(due) & concerned
            pattern = f"{due.notification}.{due.revision}.%"
            rows = self.cluster.store.rows(_SENDS, due.notification, due.step, pattern)
            sends = {(user, address): count for user, address, count in rows}
            if missing := sorted(still - sends.keys()):
                text = f"step {due.step} by {due.channel} was due, and nothing goes to {missing}"
                self.violated("P1", due.notification, text)
            for place, count in sends.items():
                if count > 1:
                    text = f"step {due.step} has {count} sends to {place}"
                    self.violated("P2", due.notification, text)

    def answered(self, request: RequestStory) -> None:
        if request.operation != "publish" or request.status != 201 or request.replayed:
            return
        body, took = request.body, (request.answered_at or 0.0) - request.asked_at
        if "escalate" not in body or took > _QUICK or self._a_clock_was_behind():
            return
        if "collapse_key" in body:
            return  # It may have been renewed meanwhile, by one without a plan.
        if self.cluster.plan.retention and self._a_clock_was_ahead():
            return  # A node for which it is old may have purged it.
        if not self.cluster.store.rows(_BEGUN, request.answer["id"]):
            self.violated("P1", request.answer["id"], "has a plan of escalation, and none began")

    def settled(self) -> str | None:
        if self.cluster.plan.escalations:
            for id_, step in self.cluster.store.rows(_LEFT):
                return f"step {step} of {id_} has not been done"
        return None

    # --- Inside ----------------------------------------------------------------------------------

    def _people_of(self, due: _Step) -> set[tuple[str, str]]:
        words = due.unless, due.unless
        return set(self.cluster.store.rows(_CONCERNED, due.notification, due.channel, *words))

    def _is_over(self, due: _Step) -> bool:
        if self.cluster.store.rows(_STANDING, due.notification) != [("active", due.version)]:
            return False  # It ended, or was renewed in this transaction.
        left = self.cluster.store.rows(_PLAN, due.notification)
        return not left or left[0] > (due.revision, due.step)

    def _rows(self, now: int) -> list[tuple[Any, ...]]:
        return self.cluster.store.rows(_DUE, now, now + 1, now)

    def _a_clock_was_ahead(self) -> bool:
        return any(host.clock_most > 0 for host in self.cluster.hosts.values())

    def _a_clock_was_behind(self) -> bool:
        return any(host.clock_least < 0 for host in self.cluster.hosts.values())
