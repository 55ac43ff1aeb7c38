"""Which commands of a batch are new, and what the producers of publishes are told.

A publish is known by its idempotency key, or by its content's id where the answer to it was lost on
the way. One that may collapse into an older notification leaves no notification with its own id, so
it always has a key: without one from its producer, its id is its key.

The answer stands with the key. Where it is only known later in the transaction (how many
subscribers a topic has, what it collapsed into), it is written there then; an answer that is
empty is one that this transaction owes.

What is posted too late (`Publish.overdue`) claims its key like the others, so that it waits for
whoever is claiming it now; where it turns out to be the first it gives the key back.

An update or a withdrawal is known by the name that it may have (`once`), which is kept like a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from tocsin.persistence.scripts.logs.plan import Held, Numbered, Outcome
from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.persistence.store import (
    Idempotency,
    KeyReused,
    Overdue,
    Publish,
    Replayed,
    Result,
    Update,
    Withdraw,
)
from tocsin.protocol.notification import Content, Standing, answer_to_publish

_CLAIM: Final = pick(
    "answer",
    credential="key.credential",
    key="key.key",
    fingerprint="key.fingerprint",
    notification_id="content.id",
    created_at="content.created_at",
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
"""The credential of the keys and names that we make ourselves."""


class _Claim(NamedTuple):
    """A publish claims its key, with the *answer* where that is known already."""

    key: Idempotency
    answer: str
    content: Content


class PublishAdmission(msgspec.Struct):
    """What was *admitted*, by the place in the batch, and what is still owed to whom."""

    admitted: dict[int, Held] = {}
    publishes: dict[int, Publish] = {}
    owed: dict[Key, str] = {}
    """Keys whose answer has to be written → the answer, when it is known."""
    waiting: list[tuple[int, Key]] = []
    """Who repeats a publish of this same batch."""
    repeated: list[tuple[int, Publish]] = []
    """Who repeats a publish that is known by its content's id."""
    done: set[int] = set()
    """Changes that were made before, by their place in the batch."""


def admit(commands: Sequence[Numbered], results: list[Result]) -> Script[PublishAdmission]:
    """Claim keys and names, and insert the notifications of what is new."""
    admission = PublishAdmission()
    publishes = [(index, each) for index, each in commands if isinstance(each, Publish)]
    if any(_key(each) is not None for _, each in publishes):
        publishes = yield from _claim(publishes, admission, results)
    # Behind the keys of publishes, so that everybody claims in one order.
    yield from _claim_names(commands, admission, results)
    fresh = yield from _insert(publishes)
    for index, each in publishes:
        if each.content.id in fresh:
            fresh.remove(each.content.id)
            addressed, users = len(each.users), each.users
            held = Held(each.content, _standing(each), addressed, {}, users, each.deliver_at)
            held.not_before = each.deliver_at
            admission.admitted[index], admission.publishes[index] = held, each
        else:
            admission.repeated.append((index, each))
    yield from _schedule(admission)
    return admission


def answer(
    admission: PublishAdmission, outcomes: dict[int, list[Outcome]], results: list[Result]
) -> Script[None]:
    """Write the answers that are owed, and give them to those who repeat."""
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


def _claim(
    publishes: list[tuple[int, Publish]], admission: PublishAdmission, results: list[Result]
) -> Script[list[tuple[int, Publish]]]:
    """The publishes whose idempotency key is theirs, and those without one."""
    claims: dict[Key, _Claim] = {}
    # What may be new comes before what cannot be, or it would find the key taken.
    for _, publish in sorted(publishes, key=lambda each: each[1].overdue):
        if (key := _key(publish)) is not None:
            known = "" if _is_late(publish) else _plain_answer(publish)
            claims.setdefault(key_of(key), _Claim(key, known, publish.content))
    rows = yield from run("idempotency_claim", **_CLAIM(claims.values()))
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
    """Claim the names of changes that have one, and pass over those that were made before."""
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
    """Whether *publish* may be new, seen from its key; notes the answer that it then owes."""
    key = _key(publish)
    if key is None or not _is_late(publish):
        return True
    if known or key_of(key) in admission.owed:
        return False
    admission.owed[key_of(key)] = ""
    return True


def _insert(publishes: list[tuple[int, Publish]]) -> Script[set[str]]:
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
    """Answer the same publishes again as they were answered first."""
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
    """Whether the answer is known only when the batch is planned, or the topic locked."""
    return publish.content.topic is not None or publish.content.collapse_key is not None


def _plain_answer(publish: Publish) -> str:
    return answer_to_publish(publish.content, _standing(publish), len(publish.users))


def _standing(publish: Publish) -> str:
    return Standing.ACTIVE if publish.deliver_at is None else Standing.SCHEDULED
