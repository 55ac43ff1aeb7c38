"""The posts of producers: drafts and changes of all kinds, in the shares given by the plan."""

from __future__ import annotations

from typing import Any, Final

from simulation.world.chance import Chance
from simulation.world.channels import CHANNELS
from simulation.world.cluster import Cluster
from tocsin.protocol.values import to_rfc3339

TOPICS: Final = "t0", "t1", "t2"
CATEGORIES: Final = "default", "news", "alerts"
_PRIORITIES: Final = "low", "normal", "normal", "normal", "high", "critical"
_LONG_BODY: Final = 4000
"""Characters of the longest body."""
_LARGE_DATA: Final = 30_000
"""Characters; a few such posts fill a device's window by their bytes."""
_TOPIC_COLLAPSES: Final = 0.25
"""The share of topic posts among those that may renew an earlier post."""
_AFTER: Final = 1.0, 1.0, 3.0, 10.0
"""Seconds until a first step, and from one step to the next."""
_UNLESS: Final = "delivered", "seen", "read"
_DIGESTS: Final = 0.2
"""The share of steps that gather."""
_SECONDS: Final = 3, 10, 40
"""Mean seconds until a post is delivered or expires."""

Draft = dict[str, Any]


def draft(cluster: Cluster, chance: Chance, title: str) -> Draft:
    """A draft with this *title*."""
    plan = cluster.plan
    drawn = chance.random()
    if drawn < plan.collapses and plan.users:
        return _collapsing(cluster, chance, title)
    content = _content(cluster, chance, title)
    drawn -= plan.collapses
    if drawn < plan.broadcasts:
        return {"to": {"all": True}, **content}
    drawn -= plan.broadcasts
    if drawn < plan.topics or not plan.users:
        return {"to": {"topic": chance.one(TOPICS)}, **content}
    return {"to": {"users": _some_users(cluster, chance)}, **content}


def plain_draft(cluster: Cluster, chance: Chance, title: str) -> Draft:
    """A draft for delivery at once that neither collapses nor expires."""
    plan = cluster.plan
    drawn = chance.random()
    content: Draft = {"title": title}
    if chance.happens(0.3):
        content["category"] = chance.one(CATEGORIES)
    if drawn < plan.broadcasts:
        return {"to": {"all": True}, **content}
    if drawn < plan.broadcasts + plan.topics or not plan.users:
        return {"to": {"topic": chance.one(TOPICS)}, **content}
    return {"to": {"users": _some_users(cluster, chance)}, **content}


def change(chance: Chance, title: str, number: int) -> dict[str, Any]:
    """A patch, the change *number*, of the post with this *title*."""
    patch: dict[str, Any] = {"title": f"{title}.{number}"}
    if chance.happens(0.3):
        patch["body"] = f"changed {number} times"
    if chance.happens(0.1):
        patch["priority"] = chance.one(_PRIORITIES)
    if chance.happens(0.1):
        patch["category"] = chance.one(CATEGORIES)
    return patch


def _some_users(cluster: Cluster, chance: Chance) -> list[str]:
    names = cluster.plan.user_names
    if chance.happens(0.7):
        return [chance.one(names)]
    # The same name may come twice; the server counts such a recipient once.
    return [chance.one(names) for _ in range(2 + int(chance.wait(3.0)))]


def _collapsing(cluster: Cluster, chance: Chance, title: str) -> Draft:
    plan = _escalation(cluster, chance)
    if chance.happens(_TOPIC_COLLAPSES):
        topic = chance.one(TOPICS)
        key = f"{topic}/{chance.one('ab')}"
        return {"to": {"topic": topic}, "title": title, "collapse_key": key, **plan}
    user = chance.one(cluster.plan.user_names)
    key = f"{user}/{chance.one('abc')}"
    return {"to": {"users": [user]}, "title": title, "collapse_key": key, **plan}


def _content(cluster: Cluster, chance: Chance, title: str) -> Draft:
    plan = cluster.plan
    content: Draft = {"title": title}
    if chance.happens(0.3):
        content["category"] = chance.one(CATEGORIES)
        content["priority"] = chance.one(_PRIORITIES)
    if chance.happens(0.1):
        content["body"] = "long " * (int(_LONG_BODY * chance.random()) // 5)
    if chance.happens(0.1):
        size = _LARGE_DATA if chance.happens(0.1) else 10
        content["data"] = {"number": int(chance.random() * 1000), "of": [title], "x": "x" * size}
    if chance.happens(plan.expiries):
        content["ttl"] = _some_seconds(chance)
    if chance.happens(plan.schedules):
        at = cluster.now_ms() + int(1000 * _some_seconds(chance))
        content["deliver_at"] = to_rfc3339(at)
    return content | _escalation(cluster, chance)


def _escalation(cluster: Cluster, chance: Chance) -> Draft:
    """A plan of escalation, or none; without escalations in the plan nothing is drawn."""
    share = cluster.plan.escalations
    if not share or not chance.happens(share):
        return {}
    after, steps = 0.0, []
    for _ in range(chance.one((1, 1, 2, 3))):
        after += chance.one(_AFTER)
        step = {"after": after, "channel": chance.one(CHANNELS), "unless": chance.one(_UNLESS)}
        if chance.happens(_DIGESTS):
            step["digest"] = chance.one((5.0, 15.0))
        steps.append(step)
    return {"escalate": steps}


def _some_seconds(chance: Chance) -> float:
    return round(1.0 + chance.wait(chance.one(_SECONDS)), 3)
