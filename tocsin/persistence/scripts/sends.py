"""Scripts of sends: claiming, settling, listing.

A claim judges before it gives away: a person who is satisfied by now is sent nothing. The claim
counts the attempt, and sets the time at which another node may have the send, before it is carried.
So a node that dies leaves its sends for that long, and they are carried once more at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tocsin.persistence.scripts.addresses import drop_sends
from tocsin.persistence.scripts.preferring import Preferring, read_preferring
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.escalation_commands import (
    AddressVerdict,
    ClaimedSend,
    ClaimSends,
    SendLine,
    SendsClaimed,
    SettledSend,
    SettleSends,
)
from tocsin.persistence.store.queries import ListSends, SendsPage
from tocsin.persistence.store.results import Result
from tocsin.protocol.channels.escalation import is_satisfied
from tocsin.protocol.channels.preferences import Subject
from tocsin.protocol.notifications.notification import Standing
from tocsin.protocol.receipts.receipt import Fact, Facts, ReceiptKind

_DIGEST_MAX: Final = 100
"""Sends of one digest: more than a person reads in one mail."""
_JUDGE: Final = pick("id", "state", "attempts", "next_at", "node", "reason")
_SETTLE: Final = pick("id", "claimed", "state", "attempts", "next_at", "reason")
_HISTORY_MAX: Final = 16_384
"""Characters of a send's history; attempts beyond are carried and not noted. One life of a send has
some two thousand, so this is for operators who replay one again and again."""
_RECEIPTS: Final = {"sent": ReceiptKind.SENT, "dead": ReceiptKind.FAILED}
"""States of sends that are facts for producers."""
_PLACE: Final = pick("channel", "name", user_id="user")
_FAIL: Final = pick("channel", "name", "fingerprint", "failures_max", "reason", user_id="user")
_GONE: Final = pick("channel", "name", "fingerprint", user_id="user")


class _Judged(msgspec.Struct, frozen=True):
    id: str
    state: str
    attempts: int
    next_at: int
    node: str | None
    reason: str | None


def claim_sends(commands: Sequence[tuple[int, ClaimSends]], results: list[Result]) -> Script[None]:
    """Run *commands*, one after the other: a claim in SQLite sees those before it."""
    for index, command in commands:
        results[index] = yield from _claim(command)


def settle_sends(
    commands: Sequence[tuple[int, SettleSends]], results: list[Result], facts: Facts
) -> Script[None]:
    """Run *commands*: the sends of all, sorted, and then their addresses.

    A send that was taken by the other side, or is given up, is a fact.
    """
    if not commands:
        return
    sends = sorted(
        ((each, command.node, command.now_ms) for _, command in commands for each in command.sends),
        key=lambda settled: settled[0].id,
    )
    rows = yield from run(
        "sends_settle",
        **_SETTLE([each for each, _, _ in sends]),
        node=[node for _, node, _ in sends],
        at=[at for _, _, at in sends],
        event=[_attempt(each, at) for each, _, at in sends],
        history_max=[_HISTORY_MAX] * len(sends),
    )
    times = {each.id: at for each, _, at in sends}
    facts += [_fact(row, times[row.id]) for row in rows if row.state in _RECEIPTS]
    for index, command in commands:
        yield from _judge_addresses(command.addresses, command.now_ms)
        results[index] = Done()


def _attempt(settled: SettledSend, at: int) -> str | None:
    """The event of an attempt at a send, as JSON; `None` if it was given back untried."""
    if settled.attempts < settled.claimed:
        return None
    outcome = "retry" if settled.state == "waiting" else settled.state
    event = {"at": at, "event": outcome, "attempt": settled.attempts, "reason": settled.reason}
    return msgspec.json.encode(event).decode()


def _fact(row: Row, at: int) -> Fact:
    said = {"address": row.address, "attempts": row.attempts, "reason": row.reason}
    return Fact(
        _RECEIPTS[row.state],
        row.notification_id,
        row.user_id,
        at,
        channel=row.channel,
        detail=msgspec.json.encode(said).decode(),
    )


def sends(queries: Sequence[tuple[int, ListSends]], answers: dict[int, Any]) -> Script[None]:
    """Answer *queries*."""
    rows = yield from run(
        "sends_page",
        number=[index for index, _ in queries],
        notification_id=[query.notification for _, query in queries],
        after=[query.after or "" for _, query in queries],
        sends_max=[query.limit + 1 for _, query in queries],
    )
    for index, query in queries:
        mine = [row for row in rows if row.number == index]
        lines = tuple([_line(row) for row in mine if row.id is not None])
        page = SendsPage(lines[: query.limit], len(lines) > query.limit)
        answers[index] = page if mine else NotFound()


def _line(row: Row) -> SendLine:
    return SendLine(
        id=row.id,
        user=row.user_id,
        channel=row.channel,
        address=row.address,
        step=row.step,
        state=row.state,
        attempts=row.attempts,
        next_at=row.next_at,
        sent_at=row.sent_at,
        reason=row.reason,
        history=f"[{row.history}]",
    )


def _claim(command: ClaimSends) -> Script[SendsClaimed]:
    channel, now_ms = command.channel, command.now_ms
    found = yield from run("sends_claim", channel=[channel], now=[now_ms], count=[command.limit])
    rows = {row.id: row for row in found}
    places = sorted({(row.user_id, row.address) for row in found if row.digest})
    rest = yield from run(
        "sends_claim_rest",
        channel=[channel] * len(places),
        user_id=[user for user, _ in places],
        address=[address for _, address in places],
        now=[now_ms] * len(places),
        count=[_DIGEST_MAX] * len(places),
    )
    rows |= {row.id: row for row in rest}
    subjects = [(row.user_id, _subject(row, channel)) for row in rows.values() if row.category]
    preferring = yield from read_preferring(subjects)
    judged = [_judge(rows[id_], command, preferring) for id_ in sorted(rows)]
    yield from run("sends_judge", **_JUDGE(judged))
    mine = tuple([_claimed(rows[each.id], each) for each in judged if each.node is not None])
    count = Counter(each.state for each in judged if each.node is None)
    if len(found) >= command.limit:
        return SendsClaimed(mine, dict(count), full=True)
    backlog = yield from run("sends_backlog", channel=[channel])
    if backlog and backlog[0].next_at <= now_ms:
        yield from run("sends_orphaned", channel=[channel], now=[now_ms])
    next_at, waiting = (backlog[0].next_at, backlog[0].waiting) if backlog else (None, 0)
    return SendsClaimed(mine, dict(count), full=False, next_at=next_at, waiting=waiting)


def _subject(row: Row, channel: str) -> Subject:
    return Subject(row.category, row.priority, channel)


def _judge(row: Row, command: ClaimSends, preferring: Preferring) -> _Judged:
    """Whether the send in *row* is carried now."""
    now_ms = command.now_ms
    if (reason := _moot(row, now_ms)) is not None:
        return _Judged(row.id, "moot", row.attempts, now_ms, None, reason)
    wanted = preferring.judge(row.user_id, _subject(row, command.channel), now_ms)
    if wanted is None:
        return _Judged(row.id, "off", row.attempts, now_ms, None, "the person's preferences")
    if wanted > now_ms:
        return _Judged(row.id, "waiting", row.attempts, wanted, None, "quiet hours")
    lease = now_ms + command.lease_ms
    return _Judged(row.id, "waiting", row.attempts + 1, lease, command.node, None)


def _moot(row: Row, now_ms: int) -> str | None:
    """Why the send in *row* is not wanted any more; `None` if it is."""
    if row.standing != Standing.ACTIVE or row.state in (None, "withdrawn"):
        return "withdrawn"
    if row.expired_at is not None or (row.expires_at is not None and row.expires_at <= now_ms):
        return "expired"
    return row.until if is_satisfied(row.until, row.state, row.delivered_at) else None


def _claimed(row: Row, judged: _Judged) -> ClaimedSend:
    return ClaimedSend(
        id=row.id,
        notification=row.notification_id,
        user=row.user_id,
        address=row.address,
        value=row.value,
        fingerprint=row.fingerprint,
        attempts=judged.attempts,
        digest=row.digest,
        category=row.category,
        document=row.document,
        expires_at=row.expires_at,
    )


def _judge_addresses(verdicts: Sequence[AddressVerdict], now_ms: int) -> Script[None]:
    by_verdict: dict[str, dict[tuple[str, str, str], AddressVerdict]] = {}
    for each in sorted(verdicts, key=lambda each: (each.user, each.channel, each.name)):
        by_verdict.setdefault(each.verdict, {})[each.user, each.channel, each.name] = each
    yield from run("addresses_pass", **_PLACE(list(by_verdict.get("passed", {}).values())))
    failed = list(by_verdict.get("failed", {}).values())
    rows = yield from run("addresses_fail", **_FAIL(failed), at=[now_ms] * len(failed))
    yield from drop_sends([row for row in rows if row.dead_at is not None], "address dead")
    gone = list(by_verdict.get("gone", {}).values())
    rows = yield from run("addresses_delete", **_GONE(gone))
    yield from drop_sends(rows, "address gone")
