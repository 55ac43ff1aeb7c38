"""Posts that depend on nothing but their users' logs and preferences, by a shorter way.

The six steps of `change` are for everything that may meet in a batch: each looks for what does not
concern a post that has neither topic nor collapse key nor schedule, and the plan between them is
made for what such a post cannot do. In a batch of nothing else, as most are, each new post is one
entry in the log of each of its users. The same locks are taken in the same order.

Each step needs the rows of the one before, and in Postgres each round trip for them costs more than
what is done for a post. So there one statement does it all if the recipients are few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from tocsin.persistence.scripts.logs import locking
from tocsin.persistence.scripts.logs.admission import PublishAdmission, claim, insert
from tocsin.persistence.scripts.logs.plan import Numbered
from tocsin.persistence.scripts.logs.topic_heads import become_known
from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.persistence.store.commands import Changed, FanOut, Publish, Replayed
from tocsin.persistence.store.results import Result
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import Change, Standing, answer_to_publish

FEW_MAX: Final = 32
"""Recipients of all posts together: all are compared with all, which is a thousand times."""
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

Places = dict[str, list[Position]]
"""The id of each new notification → its places in the logs of those who get it."""


def are_plain(commands: Sequence[Numbered]) -> bool:
    """Whether `publish_plain` can do all of *commands*."""
    ids = {each.content.id for _, each in commands if isinstance(each, Publish) and _is_plain(each)}
    return len(ids) == len(commands)


def publish_plain(
    commands: Sequence[Numbered], results: list[Result], *, few: bool
) -> Script[None]:
    """Run *commands*, for which `are_plain` is true; put each result in its place in *results*.

    *few* as in `write`.
    """
    publishes = [(index, each) for index, each in commands if isinstance(each, Publish)]
    if any(each.idempotency is not None for _, each in publishes):
        publishes = yield from claim(publishes, PublishAdmission(), results)
    if few and sum([len(each.users) for _, each in publishes]) <= FEW_MAX:
        places = yield from _publish_few([each for _, each in publishes])
    else:
        new = yield from insert(publishes)
        places = yield from _append([each for _, each in publishes if each.content.id in new])
    for index, publish in publishes:
        content, recipients = publish.content, len(publish.users)
        if (found := places.get(content.id)) is None:
            # It was published before, and the answer was lost.
            results[index] = Replayed(answer_to_publish(content, Standing.ACTIVE, recipients))
        else:
            fan_outs = (FanOut(content, Change.CREATED, tuple(found)),) if found else ()
            results[index] = Changed(content, fan_outs, Standing.ACTIVE, recipients)


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


def _publish_few(publishes: Sequence[Publish]) -> Script[Places]:
    rows = yield from run(
        "publish_few",
        **_POSTED(publishes),
        recipients=[len(each.users) for each in publishes],
        notification_id=[each.content.id for each in publishes for _ in each.users],
        user_id=[user for each in publishes for user in each.users],
    )
    places: Places = {}
    for id_, user, sequence, unread, unseen in rows:
        found = places.setdefault(id_, [])
        if user is not None:
            found.append(Position(user, sequence, unread, unseen))
    yield from become_known([row.user_id for row in rows if row.sequence == 1])
    return places


def _append(new: Sequence[Publish]) -> Script[Places]:
    """Append an entry for each of *new*, which have been inserted, to the logs of its users."""
    muted = yield from locking.muted(new)
    told = [(each.content, _unmuted(each, muted)) for each in new]
    left: dict[str, int] = {}
    times: dict[str, int] = {}
    for content, users in told:
        at = content.created_at
        for user in users:
            left[user] = left.get(user, 0) + 1
            times[user] = max(at, times.get(user, at))
    users = sorted(left)
    taken = [left[user] for user in users]
    rows = yield from run(
        "users_advance",
        user_id=users,
        taken=taken,
        unread=taken,
        unseen=taken,
        changed_at=[times[user] for user in users],
    )
    newcomers = [row.user_id for row in rows if row.head == left[row.user_id]]
    ends = {user: (head, unread, unseen) for user, head, unread, unseen in rows}
    places: Places = {}
    for content, users in told:
        found = places[content.id] = []
        for user in users:
            behind = left[user] = left[user] - 1
            head, unread, unseen = ends[user]
            found.append(Position(user, head - behind, unread - behind, unseen - behind))
    yield from _insert_rows(places)
    yield from become_known(newcomers)
    return places


def _unmuted(publish: Publish, muted: Collection[tuple[str, str]]) -> Sequence[str]:
    content = publish.content
    if not muted or content.priority == "critical":
        return publish.users
    return [user for user in publish.users if (user, content.category) not in muted]


def _insert_rows(places: Places) -> Script[None]:
    yield from run(
        "inbox_insert",
        notification_id=[id_ for id_, found in places.items() for _ in found],
        user_id=[place.user for place in _all(places)],
        sequence=[place.sequence for place in _all(places)],
    )


def _all(places: Places) -> Iterable[Position]:
    return (place for found in places.values() for place in found)
