"""Tells new commands of a batch from repeated ones, and gives producers their answers.

A repeated publish is recognised by its idempotency key, or, if its answer was lost on the way, by
its content's id. A publish that may collapse into an older notification leaves no notification with
its own id. So it always has a key: without one from its producer, its id is the key.

The answer to a publish is stored with the key. If it depends on later steps of the transaction (the
number of a topic's subscribers, the notification that it collapses into), it is stored at the end;
until then it is empty, and this transaction *owes* it.

A publish that is posted too late (`Publish.overdue`) claims its key like the others, so that it
waits for a transaction that is claiming it. If it is the first with the key, it returns the key.

An update or a withdrawal may have a name (`once`), which is stored like a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from tocsin.persistence.scripts.logs.plan import Held, Numbered, Outcome
from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.persistence.store.commands import (
    Idempotency,
    KeyReused,
    Overdue,
    Publish,
    Replayed,
    Update,
    Withdraw,
)
from tocsin.persistence.store.results import Result
from tocsin.protocol.notifications.notification import Content, Standing, answer_to_publish

_CLAIM: Final = pick(
    "answer",
    credential="key.credential",
    key="key.key",
    fingerprint="key.fingerprint",
    notification_id="content.id",
)
_CLAIM_OF_NAME: Final = pick(key="once", notification_id="notification", created_at="now_ms")
_IDEMPOTENCY_RETURN: Final = pick("credential", "key")
_NOTIFICATIONS_INSERT: Final = pick(
    "id",
    "revision",
    "category",
    "created_at",
    "updated_at",
    "expires_at",
    "document",
    "priority",
    "topic",
    "collapse_key",
)
_SCHEDULE_INSERT: Final = pick("deliver_at", notification_id="content.id")

Key = tuple[str, str]
"""A credential and its idempotency key."""

_NOBODY = ""
"""The credential of keys and names that no producer, but this program has made."""


class _Claim(NamedTuple):
    """The claim of a publish on its key, with the *answer*, empty if it is not known yet."""

    key: Idempotency
    answer: str
    content: Content


class PublishAdmission(msgspec.Struct):
    """The commands that are new (*admitted*, by their place in the batch), and the owed answers."""

    admitted: dict[int, Held] = {}
    publishes: dict[int, Publish] = {}
    owed: dict[Key, str] = {}
    """Key whose answer has to be written → the answer, empty until it is known."""
    waiting: list[tuple[int, Key]] = []
    """Publishes that repeat another one of this batch, with the key of that."""
    repeated: list[tuple[int, Publish]] = []
    """Publishes that repeat one which is recognised by its content's id."""
    done: set[int] = set()
    """The places in the batch of changes that were made before."""
    escalates: bool = False
    """Whether channels are configured where one of the publishes comes from."""


def admit(commands: Sequence[Numbered], results: list[Result]) -> Script[PublishAdmission]:
    """Claim keys and names, and insert the notifications of new publishes.

    Repeated commands get their results here, unless they wait for an answer that is owed.
    """
    admission = PublishAdmission()
    publishes = [(index, each) for index, each in commands if isinstance(each, Publish)]
    if any(_key(each) is not None for _, each in publishes):
        publishes = yield from claim(publishes, admission, results)
    # After the keys of publishes: all transactions have to claim in one order.
    yield from _claim_names(commands, admission, results)
    fresh = yield from insert(publishes)
    for index, each in publishes:
        if each.content.id in fresh:
            fresh.remove(each.content.id)
            addressed, users = len(each.users), each.users
            held = Held(each.content, _standing(each), addressed, {}, users, each.deliver_at)
            held.not_before = each.deliver_at
            admission.admitted[index], admission.publishes[index] = held, each
            if each.escalation is not None:
                admission.escalates = True
        else:
            admission.repeated.append((index, each))
    yield from _schedule(admission)
    return admission


def answer(
    admission: PublishAdmission, outcomes: dict[int, list[Outcome]], results: list[Result]
) -> Script[None]:
    """Write the owed answers, and give them to the repeated publishes of this batch."""
    for index, publish in admission.publishes.items():
        if (key := _key(publish)) is not None and key_of(key) in admission.owed:
            [outcome] = outcomes[index]
            admission.owed[key_of(key)] = answer_to_publish(
                outcome.content, outcome.standing, outcome.recipients
            )
    yield from _repeat(admission, results)
    if admission.owed:
        yield from run(
            "idempotency_answer",
            credential=[credential for credential, _ in admission.owed],
            key=[key for _, key in admission.owed],
            answer=list(admission.owed.values()),
        )
    for index, owner in admission.waiting:
        results[index] = Replayed(admission.owed[owner])


def key_of(idempotency: Idempotency) -> Key:
    return idempotency.credential, idempotency.key


def claim(
    publishes: list[tuple[int, Publish]], admission: PublishAdmission, results: list[Result]
) -> Script[list[tuple[int, Publish]]]:
    """The publishes that have claimed their idempotency key, and those without a key.

    The others get their results, unless they wait for an answer that is owed.
    """
    claims: dict[Key, _Claim] = {}
    # Overdue publishes last: a new one with the same key must not find it claimed by them.
    for _, publish in sorted(publishes, key=lambda each: each[1].overdue):
        if (key := _key(publish)) is not None:
            known = "" if _is_late(publish) else _plain_answer(publish)
            claims.setdefault(key_of(key), _Claim(key, known, publish.content))
    rows = yield from run(
        "idempotency_claim",
        **_CLAIM(claims.values()),
        # A purge counts from here: a key that is to be kept longer is as if it were claimed later.
        created_at=[each.content.created_at + each.key.longer_ms for each in claims.values()],
    )
    owners = {(row.credential, row.key): row for row in rows}
    mine: list[tuple[int, Publish]] = []
    returned: list[Idempotency] = []
    for index, publish in publishes:
        if (key := _key(publish)) is None:
            mine.append((index, publish))
            continue
        owner = owners[key_of(key)]
        is_ours = owner.notification_id == publish.content.id
        if owner.fingerprint != key.fingerprint:
            results[index] = KeyReused()
        elif publish.overdue and is_ours:
            results[index] = Overdue()
            returned.append(key)
        elif is_ours and _is_first(publish, owner.answer, admission):
            mine.append((index, publish))
        elif owner.answer:
            results[index] = Replayed(owner.answer)
        else:
            admission.waiting.append((index, key_of(key)))
    if returned:
        yield from run("idempotency_return", **_IDEMPOTENCY_RETURN(returned))
    return mine


def _claim_names(
    commands: Sequence[Numbered], admission: PublishAdmission, results: list[Result]
) -> Script[None]:
    """Claim the names of updates and withdrawals that have one; note those done before."""
    named = [
        (index, each, each.once)
        for index, each in commands
        if isinstance(each, Update | Withdraw) and each.once is not None
    ]
    if not named:
        return
    claims = {name: each for _, each, name in named}
    rows = yield from run(
        "idempotency_claim",
        **_CLAIM_OF_NAME(claims.values()),
        credential=[_NOBODY] * len(claims),
        fingerprint=[b""] * len(claims),
        answer=[""] * len(claims),
    )
    made = {row.key for row in rows if row.answer}
    for index, each, name in named:
        answer = f'{{"id":"{each.notification}"}}'
        if name in made:
            results[index] = Replayed(answer)
            admission.done.add(index)
        else:
            made.add(name)
            admission.owed[_NOBODY, name] = answer


def _is_first(publish: Publish, known: str, admission: PublishAdmission) -> bool:
    """Whether *publish* may be new, judged by its key's answer *known*; notes the owed answer."""
    key = _key(publish)
    if key is None or not _is_late(publish):
        return True
    if known or key_of(key) in admission.owed:
        return False
    admission.owed[key_of(key)] = ""
    return True


def insert(publishes: Sequence[tuple[int, Publish]]) -> Script[set[str]]:
    """Insert the notifications of *publishes*; the ids of those that are new."""
    rows = yield from run(
        "notifications_insert",
        **_NOTIFICATIONS_INSERT([each.content for _, each in publishes]),
        standing=[_standing(each) for _, each in publishes],
        recipients=[None if each.content.topic else len(each.users) for _, each in publishes],
        credential=[each.credential for _, each in publishes],
        kept_from=[each.deliver_at or each.content.created_at for _, each in publishes],
    )
    return {row.id for row in rows}


def _schedule(admission: PublishAdmission) -> Script[None]:
    waiting = [each for each in admission.admitted.values() if each.deliver_at is not None]
    if not waiting:
        return
    yield from run(
        "schedule_insert",
        **_SCHEDULE_INSERT(waiting),
        users=[
            None if each.content.topic else msgspec.json.encode(each.users).decode()
            for each in waiting
        ],
    )


def _repeat(admission: PublishAdmission, results: list[Result]) -> Script[None]:
    """Answer repeated publishes as they were answered the first time."""
    repeated = admission.repeated
    if not repeated:
        return
    rows = yield from run(
        "notifications_addressed",
        id=[each.content.id for _, each in repeated if each.content.topic],
    )
    subscribers = {row.id: row.recipients for row in rows}
    for index, each in repeated:
        recipients = subscribers.get(each.content.id, len(each.users))
        known = answer_to_publish(each.content, _standing(each), recipients)
        results[index] = Replayed(known)
        if (key := _key(each)) is not None and key_of(key) in admission.owed:
            admission.owed[key_of(key)] = known


def _key(publish: Publish) -> Idempotency | None:
    content = publish.content
    collapses = content.collapse_key is not None
    counted_anew = content.topic is not None and publish.deliver_at is not None
    if publish.idempotency is None and (collapses or counted_anew):
        return Idempotency(_NOBODY, content.id, b"")
    return publish.idempotency


def _is_late(publish: Publish) -> bool:
    """Whether the answer depends on the plan of the batch, or on the topic's subscribers."""
    return publish.content.topic is not None or publish.content.collapse_key is not None


def _plain_answer(publish: Publish) -> str:
    return answer_to_publish(publish.content, _standing(publish), len(publish.users))


def _standing(publish: Publish) -> str:
    return Standing.ACTIVE if publish.deliver_at is None else Standing.SCHEDULED
