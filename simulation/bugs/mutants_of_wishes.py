"""Seeded bugs in subscriptions, preferences, collapse keys and marks: see `mutants`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import structs

from simulation.bugs.mutation import Mutation, Original
from tocsin.persistence.scripts import marks as mark_scripts
from tocsin.persistence.scripts.logs import locking as holding
from tocsin.persistence.scripts.logs import publish_plan
from tocsin.persistence.scripts.logs.plan import Held, Plan
from tocsin.persistence.scripts.statements import Script
from tocsin.persistence.scripts.topics import bring as topic_scripts
from tocsin.persistence.scripts.topics import subscriptions as subscription_scripts
from tocsin.persistence.store.user_commands import Unsubscribe
from tocsin.protocol.notifications.notification import Change, State

_PAST: Final = 3
"""Entries of a topic's log that a new subscriber is given wrongly."""


def _mute_nothing(_: Original) -> Original:
    def deaf(published: Any) -> Script[Any]:
        yield from ()
        return {}

    return deaf


def _bring_all(plan: Original) -> Original:
    def generous(rows: Sequence[Any], *rest: Any) -> Any:
        return plan([row._replace(wanted=True) for row in rows], *rest)

    return generous


def _let_nobody_go(plan: Original) -> Original:
    def sticky(command: Any, subscriptions: Any) -> Any:
        if isinstance(command, Unsubscribe):
            return (), ()
        return plan(command, subscriptions)

    return sticky


def _give_the_past(advance: Original) -> Original:
    def generous(moves: Any) -> Script[Any]:
        heads = yield from advance(moves)
        return {
            topic: row._replace(head=min(1, row.head) if row.head <= _PAST else row.head - _PAST)
            for topic, row in heads.items()
        }

    return generous


def _never_lives(_: Original) -> Original:
    return lambda held, at: False


def _renew_quietly(renew: Original) -> Original:
    def quiet(plan: Plan, number: int, held: Held, unmuted: Any, at: int, steps: Any) -> None:
        new = [user for user in unmuted if user not in held.recipients]
        renew(plan, number, held, new, at, steps)

    return quiet


def _withdraw_for(count: int) -> Any:
    """Withdraw a notification from, and announce it to, only *count* of its recipients."""

    def patch(tell: Original) -> Original:
        def curt(
            self: Plan, number: int, target: Held, change: Change, at: int, *, told: bool = True
        ) -> None:
            if change is Change.WITHDRAWN and target.content.topic is None:
                kept = dict(list(target.recipients.items())[:count])
                target = structs.replace(target, recipients=kept)
            tell(self, number, target, change, at, told=told)

        return curt

    return patch


def _archive_as_read(marked: Original) -> Original:
    def softly(state: str, mark: str, *, by_id: bool) -> State | None:
        following: State | None = marked(state, mark, by_id=by_id)
        return State.READ if following is State.ARCHIVED else following

    return softly


def _mark_by_list_only(marked: Original) -> Original:
    def strictly(state: str, mark: str, *, by_id: bool) -> State | None:
        following: State | None = marked(state, mark, by_id=False)
        return following

    return strictly


_WISHES: Final[dict[str, Any]] = {"actions": 0.5, "mutes": 0.5}
_KEYS: Final[dict[str, Any]] = {"collapses": 0.6, "actions": 0.3}

OF_WISHES: Final = (
    Mutation(
        name="mute no categories",
        owner=holding,
        attribute="muted",
        patch=_mute_nothing,
        plan=_WISHES,
    ),
    Mutation(
        name="bring muted notifications",
        owner=topic_scripts,
        attribute="plan",
        patch=_bring_all,
        plan=_WISHES | {"topics": 0.6, "subscriptions": 0.2},
    ),
    Mutation(
        name="ignore unsubscribing",
        owner=subscription_scripts,
        attribute="_plan",
        patch=_let_nobody_go,
        plan=_WISHES | {"topics": 0.6, "subscriptions": 0.2},
    ),
    Mutation(
        name="give subscribers the past",
        owner=subscription_scripts,
        attribute="advance_topics",
        patch=_give_the_past,
        plan=_WISHES | {"topics": 0.6, "subscriptions": 0.2},
    ),
    Mutation(
        name="keys that never collapse",
        owner=publish_plan,
        attribute="_lives",
        patch=_never_lives,
        plan=_KEYS,
    ),
    Mutation(
        name="renew quietly",
        owner=publish_plan,
        attribute="_renew",
        patch=_renew_quietly,
        plan=_KEYS,
    ),
    Mutation(
        name="withdraw without a push",
        owner=Plan,
        attribute="_tell",
        patch=_withdraw_for(0),
        plan={"withdrawals": 0.2},
    ),
    Mutation(
        name="withdraw for one of many",
        owner=Plan,
        attribute="_tell",
        patch=_withdraw_for(1),
        plan={"withdrawals": 0.3},
    ),
    Mutation(
        name="archive as read",
        owner=mark_scripts,
        attribute="marked",
        patch=_archive_as_read,
        plan={"actions": 0.5},
    ),
    Mutation(
        name="bring nothing back",
        owner=mark_scripts,
        attribute="marked",
        patch=_mark_by_list_only,
        plan={"actions": 2.0, "posts": 1.0},
    ),
)
