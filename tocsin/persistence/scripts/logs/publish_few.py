"""Publishes to a few users in one statement: what most transactions of a node with little load are.

The six steps of `change` depend on each other's rows, and each round trip for them costs more than
what is done for a post. A publish that has neither schedule nor collapse key nor topic, and that no
other change of the batch concerns, depends on nothing but its users' logs and preferences. One
statement of Postgres does it all, and takes the same locks in the same order. It is for Postgres:
in SQLite there is nothing to wait for. And it is for few users: see the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tocsin.persistence.scripts.logs.admission import PublishAdmission, claim
from tocsin.persistence.scripts.logs.plan import Numbered
from tocsin.persistence.scripts.logs.topic_heads import become_known
from tocsin.persistence.scripts.statements import Rows, Script, pick, run
from tocsin.persistence.store.commands import Changed, FanOut, Publish, Replayed
from tocsin.persistence.store.results import Result
from tocsin.protocol.news import Position
from tocsin.protocol.notification import Change, Standing, answer_to_publish

FEW_MAX: Final = 32
"""Recipients of all publishes together: all are compared with all, which is a thousand times."""
_POSTED: Final = pick(
    "credential",
    id="content.id",
    revision="content.revision",
    category="content.category",
    created_at="content.created_at",
    updated_at="content.updated_at",
    expires_at="content.expires_at",
    document="content.document",
    priority="content.priority",
)


def are_few(commands: Sequence[Numbered]) -> bool:
    """Whether `publish_few` can do all of *commands*."""
    if len(commands) > FEW_MAX:
        return False
    publishes = [each for _, each in commands if isinstance(each, Publish) and _is_plain(each)]
    return (
        len({each.content.id for each in publishes}) == len(commands)
        and sum([len(each.users) for each in publishes]) <= FEW_MAX
    )


def publish_few(commands: Sequence[Numbered], results: list[Result]) -> Script[None]:
    """Run *commands*, for which `are_few` is true; put each result in its place in *results*."""
    publishes = [(index, each) for index, each in commands if isinstance(each, Publish)]
    if any(each.idempotency is not None for _, each in publishes):
        publishes = yield from claim(publishes, PublishAdmission(), results)
    rows = yield from run(
        "publish_few",
        **_POSTED([each for _, each in publishes]),
        recipients=[len(each.users) for _, each in publishes],
        notification_id=[each.content.id for _, each in publishes for _ in each.users],
        user_id=[user for _, each in publishes for user in each.users],
    )
    _answer(publishes, rows, results)
    yield from become_known([row.user_id for row in rows if row.sequence == 1])


def _is_plain(publish: Publish) -> bool:
    content = publish.content
    return (
        content.topic is None
        and content.collapse_key is None
        and publish.deliver_at is None
        and publish.escalation is None
        and publish.origin is None
        and not publish.overdue
    )


def _answer(publishes: Sequence[tuple[int, Publish]], rows: Rows, results: list[Result]) -> None:
    places: dict[str, list[Position]] = {}
    for id_, user, sequence, unread, unseen in rows:
        positions = places.setdefault(id_, [])
        if user is not None:
            positions.append(Position(user, sequence, unread, unseen))
    for index, publish in publishes:
        content, recipients = publish.content, len(publish.users)
        if (found := places.get(content.id)) is None:
            # It was published before, and the answer was lost.
            results[index] = Replayed(answer_to_publish(content, Standing.ACTIVE, recipients))
        else:
            fan_outs = (FanOut(content, Change.CREATED, tuple(found)),) if found else ()
            results[index] = Changed(content, fan_outs, Standing.ACTIVE, recipients)
