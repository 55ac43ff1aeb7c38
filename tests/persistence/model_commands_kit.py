"""The commands that the operations of `test_store_model` stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.persistence.desk_kit import START_OF_TIME, content
from tests.persistence.model_kit import Model
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Idempotency, Publish, Update, Withdraw
from tocsin.persistence.store.upkeep_commands import Expire, Release
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    Attach,
    MarkInbox,
    Materialise,
    Record,
    SetPreferences,
    SetTopic,
    Subscribe,
    Unsubscribe,
)
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor, SessionEnd
from tocsin.protocol.notifications.notification import Patch


def command_of(operation: Any, model: Model, made: list[Publish]) -> Command[Any]:
    kind, *args = operation
    build: Callable[..., Command[Any]] = globals()[f"build_{kind}"]
    return build(model, made, *args)


def build_publish(
    model: Model, made: list[Publish], users: tuple[str, ...], lifetime: int | None
) -> Command[Any]:
    expires_at = None if lifetime is None else START_OF_TIME + lifetime
    new = content(expires_at=expires_at, body="ü" * len(made))
    made.append(Publish(new, users, "producer"))
    return made[-1]


def build_topic(
    model: Model, made: list[Publish], topic: str, lifetime: int | None, key: str | None
) -> Command[Any]:
    expires_at = None if lifetime is None else START_OF_TIME + lifetime
    new = content(expires_at=expires_at, topic=topic, collapse_key=key)
    made.append(Publish(new, (), "producer"))
    return made[-1]


def build_collapse(
    model: Model, made: list[Publish], users: tuple[str, ...], lifetime: int | None
) -> Command[Any]:
    expires_at = None if lifetime is None else START_OF_TIME + lifetime
    new = content(expires_at=expires_at, collapse_key="k", title=f"Number {len(made)}")
    made.append(Publish(new, users, "producer"))
    return made[-1]


def build_schedule(
    model: Model,
    made: list[Publish],
    users: tuple[str, ...],
    topic: str | None,
    delay: int,
    key: str | None,
) -> Command[Any]:
    new = content(topic=topic, collapse_key=key, expires_at=START_OF_TIME + 25)
    at = START_OF_TIME + delay
    made.append(Publish(new, users if topic is None else (), "producer", None, at))
    return made[-1]


def build_release(model: Model, made: list[Publish], after: int, limit: int) -> Command[Any]:
    return Release(START_OF_TIME + after, limit)


def build_bring(model: Model, made: list[Publish], users: tuple[str, ...]) -> Command[Any]:
    return Materialise(users, START_OF_TIME)


def build_subscribe(
    model: Model, made: list[Publish], topic: str, users: tuple[str, ...], by_user: bool
) -> Command[Any]:
    return Subscribe(topic, users, START_OF_TIME, by_user)


def build_close(model: Model, made: list[Publish], topic: str, closed: bool) -> Command[Any]:
    return SetTopic(topic, closed)


def build_unsubscribe(
    model: Model, made: list[Publish], topic: str, users: tuple[str, ...]
) -> Command[Any]:
    return Unsubscribe(topic, users, START_OF_TIME)


def build_prefer(
    model: Model, made: list[Publish], user: str, switches: dict[str, bool]
) -> Command[Any]:
    topics = dict(switches)
    categories = {"default": topics.pop("default")} if "default" in topics else {}
    return SetPreferences(user, categories, topics, START_OF_TIME)


def build_mark(
    model: Model, made: list[Publish], user: str, mark: str, number: int | None
) -> Command[Any]:
    ids = None if number is None else (pick(made, number), pick(made, number + 1))
    return MarkInbox(user, mark, START_OF_TIME + 7, ids)


def build_keyed(
    model: Model, made: list[Publish], users: tuple[str, ...], key: str, fingerprint: bytes
) -> Command[Any]:
    new = content()
    made.append(Publish(new, users, "p", Idempotency("p", key, fingerprint)))
    return made[-1]


def build_again(model: Model, made: list[Publish], number: int) -> Command[Any]:
    if not made:
        return Withdraw("nothing", START_OF_TIME)
    return made[number % len(made)]


def pick(made: list[Publish], number: int) -> str:
    return made[number % len(made)].content.id if made else "nothing"


def build_update(
    model: Model, made: list[Publish], number: int, revisions: list[int] | None
) -> Command[Any]:
    expected = None if revisions is None else tuple(revisions)
    return Update(pick(made, number), Patch(title=f"New {number}"), START_OF_TIME, expected)


def build_withdraw(model: Model, made: list[Publish], number: int) -> Command[Any]:
    return Withdraw(pick(made, number), START_OF_TIME)


def build_expire(model: Model, made: list[Publish], after: int, limit: int) -> Command[Any]:
    return Expire(START_OF_TIME + after, limit)


def build_record(
    model: Model,
    made: list[Publish],
    number: int,
    user: str,
    device: str,
    behind: int,
    attempts: int,
    acknowledged_at: int | None,
    dead: str | None,
) -> Command[Any]:
    id_ = pick(made, number)
    known = model.notifications.get(id_)
    row = known.rows.get(user) if known else None
    if known and known.content.topic and not row:
        # No device was sent what its user has not been brought; and whether one who arrives in this
        # batch is brought it before the line or after that is open.
        id_ = "nothing"
    sequence = max(1, (row.sequence if row else 1) - behind)
    is_open = acknowledged_at is None and dead is None
    unanswered = max(0, sequence - attempts) if is_open and behind == 1 else 0
    line = DeliveryRecord(
        *(user, device, id_, sequence, attempts, 9 - attempts, acknowledged_at, dead, unanswered)
    )
    cursors = (DeviceCursor(user, device, sequence, 5),) if acknowledged_at else ()
    return Record((line,), cursors)


def build_acknowledge(
    model: Model,
    made: list[Publish],
    user: str,
    device: str,
    through: int | None,
    numbers: list[int],
) -> Command[Any]:
    ids = tuple(dict.fromkeys(pick(made, number) for number in numbers))
    return Acknowledge(user, device, through, ids, START_OF_TIME + 4)


def build_end(
    model: Model, made: list[Publish], user: str, device: str, session: str
) -> Command[Any]:
    return Record((), (), (SessionEnd(user, device, session),))


def build_attach(
    model: Model,
    made: list[Publish],
    user: str,
    device: str,
    sequence: int | None,
    foreign: int,
    session: str,
) -> Command[Any]:
    epoch = "another" if foreign else model.epoch
    requested = None if sequence is None else Cursor(epoch, sequence)
    return Attach(user, device, requested, START_OF_TIME + 3, session)
