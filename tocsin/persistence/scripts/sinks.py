"""Scripts of the followers of the receipts' log: operators' changes, leases, progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from tocsin.persistence.scripts.lists import Answers, Numbered, by_number
from tocsin.persistence.scripts.rows import NO_BOUND
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.store.commands import Done, NotFound, TooMany
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.sink_commands import (
    READERS_MAX,
    SINKS_MAX,
    ChangeSink,
    ClaimSinks,
    CreateSink,
    DeclareSink,
    DeleteSink,
    FollowReceipts,
    ListSinkLetters,
    ListSinks,
    SaveProgress,
    SettleSinkLetter,
    SinkLetters,
    Sinks,
    SinksClaimed,
    StoredSink,
)
from tocsin.protocol.receipts.receipt import (
    EVERYTHING,
    USUAL,
    Fact,
    Facts,
    Filter,
    ReceiptKind,
    between_commas,
    names_in,
)
from tocsin.protocol.receipts.sink import DISABLED, Letter, Pending, Progress, Secret

_NOTED_MS: Final = 3_600_000
"""Milliseconds: how exact the note is that a sink in a broker is still in some node's settings."""
_INSERT: Final = pick(
    "id",
    "url",
    "description",
    "batch_max",
    "created_at",
    events="filter.events_text",
    categories="filter.categories_text",
)
_DECLARE: Final = pick(
    "id",
    "batch_max",
    events="filter.events_text",
    categories="filter.categories_text",
    now="now_ms",
)
_CHANGE: Final = pick("id", "kind", "url", "description", "batch_max", "position", "state")
_CLAIM: Final = pick("node", "until", now="now_ms")
_PROGRESS: Final = pick(
    "id",
    "node",
    "revision",
    position="progress.position",
    state="progress.state",
    reason="progress.reason",
    failing_since="progress.failing_since",
    succeeded_at="progress.succeeded_at",
    lost="progress.lost",
)
_BURY: Final = pick("position", "receipt", "reason", "at", user_id="user")

SinkCommand = (
    CreateSink
    | DeclareSink
    | ChangeSink
    | DeleteSink
    | FollowReceipts
    | ClaimSinks
    | SaveProgress
    | SettleSinkLetter
)


def change_sinks(
    commands: Sequence[tuple[int, SinkCommand]], results: list[Result], facts: Facts
) -> Script[None]:
    """Run *commands* one after the other: they are few, and each row of its own."""
    for index, command in commands:
        match command:
            case CreateSink(sink=sink):
                results[index] = yield from _create(sink)
            case DeclareSink():
                yield from run("sinks_declare", **_DECLARE([command]))
            case ChangeSink():
                results[index] = yield from _change(command)
            case DeleteSink(id=id_):
                yield from run("sink_letters_delete", sink_id=[id_])
                results[index] = _found((yield from run("sinks_delete", id=[id_])))
            case FollowReceipts(reader=reader, now_ms=now_ms):
                events = [(EVERYTHING if command.all_kinds else USUAL).events_text]
                yield from run("readers_follow", id=[reader], events=events, now=[now_ms])
                yield from run("readers_trim", readers_max=[READERS_MAX])
            case ClaimSinks():
                rows = yield from run(
                    "sinks_claim",
                    **_CLAIM([command]),
                    names=[between_commas(command.names)],
                    # By the hour: a note of each claim would change the index every few seconds.
                    seen=[command.now_ms - command.now_ms % _NOTED_MS],
                )
                results[index] = SinksClaimed(tuple([_sink_of_row(row) for row in rows]))
            case SaveProgress():
                results[index] = yield from _save(command, facts)
            case SettleSinkLetter(sink=sink_id, position=position, status=status):
                rows = yield from run(
                    "sink_letters_settle",
                    sink_id=[sink_id],
                    position=[position],
                    status=[status],
                )
                results[index] = _found(rows)
            case _:
                assert_never(command)


def _create(sink: StoredSink) -> Script[Done | TooMany]:
    rows = yield from run(
        "sinks_insert", **_INSERT([sink]), secrets=[_text(sink.secrets)], sinks_max=[SINKS_MAX]
    )
    return Done() if rows else TooMany(SINKS_MAX)


def _change(command: ChangeSink) -> Script[Done | NotFound]:
    wanted, secrets = command.filter, command.secrets
    rows = yield from run(
        "sinks_change",
        **_CHANGE([command]),
        secrets=[None if secrets is None else _text(secrets)],
        events=[None if wanted is None else wanted.events_text],
        categories=[None if wanted is None else wanted.categories_text],
    )
    return _found(rows)


def _save(command: SaveProgress, facts: Facts) -> Script[Done | NotFound]:
    pending = command.progress.pending
    rows = yield from run(
        "sinks_progress",
        **_PROGRESS([command]),
        pending=[None if pending is None else _text(pending)],
    )
    if rows and command.letters:
        letters = command.letters
        yield from run("sink_letters_bury", **_BURY(letters), sink_id=[command.id] * len(letters))
    if rows and command.progress.state == DISABLED:
        detail = _text({"sink": command.id, "reason": command.progress.reason})
        facts.append(Fact(ReceiptKind.SINK_DISABLED, None, None, command.now_ms, detail=detail))
    return _found(rows)


def _found(rows: Sequence[Row]) -> Done | NotFound:
    return Done() if rows else NotFound()


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# --- Queries ------------------------------------------------------------------------------------


def sinks(queries: Numbered[ListSinks], answers: Answers) -> Script[None]:
    rows = yield from run(
        "sinks_list",
        number=[index for index, _ in queries],
        id=[query.id for _, query in queries],
        kind=[query.kind for _, query in queries],
    )
    found = by_number(rows)
    for index, _ in queries:
        listed = [_sink_of_row(row) for row in found[index] if row.id is not None]
        answers[index] = Sinks(tuple(listed), found[index][0].head)


def sink_letters(queries: Numbered[ListSinkLetters], answers: Answers) -> Script[None]:
    rows = yield from run(
        "sink_letters_page",
        number=[index for index, _ in queries],
        sink_id=[query.sink for _, query in queries],
        before=[NO_BOUND if query.before is None else query.before for _, query in queries],
        letters_max=[query.limit + 1 for _, query in queries],
    )
    found = by_number(rows)
    for index, query in queries:
        letters = [
            Letter(row.position, row.user_id, row.receipt, row.reason, row.at, row.status)
            for row in found.get(index, ())
        ]
        answers[index] = SinkLetters(tuple(letters[: query.limit]), len(letters) > query.limit)


def _sink_of_row(row: Row) -> StoredSink:
    pending = row.pending
    return StoredSink(
        id=row.id,
        url=row.url,
        secrets=tuple(msgspec.json.decode(row.secrets, type=list[Secret])),
        filter=Filter(names_in(row.events), names_in(row.categories)),
        description=row.description,
        batch_max=row.batch_max,
        progress=Progress(
            position=row.position,
            pending=None if pending is None else msgspec.json.decode(pending, type=Pending),
            state=row.state,
            reason=row.reason,
            failing_since=row.failing_since,
            succeeded_at=row.succeeded_at,
            lost=row.lost,
        ),
        revision=row.revision,
        created_at=row.created_at,
        kind=row.kind,
    )
