"""The verdict on a carrier's answer: for the sends of its parcel, and for the address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

from tocsin.persistence.store.escalation_commands import AddressVerdict, ClaimedSend, SettledSend
from tocsin.protocol.channels.carrying import (
    Accepted,
    AddressGone,
    Carried,
    ChannelDown,
    Rejected,
    TryLater,
)
from tocsin.protocol.channels.send_retry import retry_delay

_REASON_MAX: Final = 200
"""Characters of a reason that are kept: the other side has written it."""


class Verdict(msgspec.Struct, frozen=True):
    """The notes to be made. *outcome* is a word for metrics: `sent`, `retry`, `dead`, `put off`."""

    outcome: str
    sends: tuple[SettledSend, ...]
    addresses: tuple[AddressVerdict, ...] = ()
    reason: str = ""


def verdict_of(
    channel: str, sends: Sequence[ClaimedSend], carried: Carried, now_ms: int
) -> Verdict:
    """The verdict on *sends*, a parcel, at *now_ms*."""
    match carried:
        case Accepted():
            passed = _address(channel, sends, "passed")
            return Verdict("sent", _all(sends, "sent", now_ms), (passed,))
        case TryLater(reason=reason, after=after, attempts_max=attempts_max):
            return _later(sends, reason, after, attempts_max, now_ms)
        case AddressGone(reason=reason, at_once=at_once):
            verdict = _address(channel, sends, "gone" if at_once else "failed", reason)
            return Verdict("dead", _all(sends, "dead", now_ms, reason), (verdict,), reason)
        case Rejected(reason=reason):
            return Verdict("dead", _all(sends, "dead", now_ms, reason), (), reason)
        case ChannelDown(reason=reason):
            return give_back(sends, now_ms, reason)
        case _:
            assert_never(carried)


def give_back(sends: Sequence[ClaimedSend], next_at: int, reason: str) -> Verdict:
    """*sends* were not tried: they wait until *next_at* (Unix ms), without an attempt more."""
    given = tuple(
        [
            SettledSend(each.id, "waiting", each.attempts, each.attempts - 1, next_at, _cut(reason))
            for each in sends
        ]
    )
    return Verdict("put off", given, (), reason)


def _later(
    sends: Sequence[ClaimedSend],
    reason: str,
    after: float | None,
    attempts_max: int | None,
    now_ms: int,
) -> Verdict:
    settled: list[SettledSend] = []
    outcome = "dead"
    for each in sends:
        delay = retry_delay(each.attempts, after, attempts_max)
        if delay is None:
            settled += _all([each], "dead", now_ms, reason)
        else:
            outcome = "retry"
            next_at = now_ms + round(delay * 1000)
            settled += _all([each], "waiting", next_at, reason)
    return Verdict(outcome, tuple(settled), (), reason)


def _all(
    sends: Sequence[ClaimedSend], state: str, next_at: int, reason: str | None = None
) -> tuple[SettledSend, ...]:
    cut = None if reason is None else _cut(reason)
    return tuple(
        [SettledSend(each.id, state, each.attempts, each.attempts, next_at, cut) for each in sends]
    )


def _address(
    channel: str, sends: Sequence[ClaimedSend], verdict: str, reason: str = ""
) -> AddressVerdict:
    first = sends[0]
    return AddressVerdict(
        first.user, channel, first.address, first.fingerprint, verdict, _cut(reason)
    )


def _cut(reason: str) -> str:
    """*reason* on one line, and not too long."""
    return "".join(each if each.isprintable() else " " for each in reason)[:_REASON_MAX]
