"""A sink follows the receipts' log: what is carried next, when again, and when to give up.

A sink is a device of the producers' log. It has a *position*, up to which its receiver has all that
it wants, and at most one *pending* batch, which is written down before it is carried, so that the
batch is the same at every attempt. Only success moves the position. So order is kept, an outage of
the receiver costs one batch and not a row for each receipt, and its end needs no replay.

The functions here are pure: they take a `Progress` and return the next one. Times are Unix ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed

ACTIVE, PAUSED, DISABLED = "active", "paused", "disabled"
"""The states of a sink. Both others keep the position: to be active again is to go on there."""

_TROUBLE_DELAYS: Final = (5.0, 30.0, 120.0, 300.0)
"""Seconds to the next attempt while the receiver is in trouble; the last one again and again."""
_REFUSAL_DELAYS: Final = (5.0, 30.0, 300.0, 1800.0)
"""Seconds to the next attempts of a batch that is refused: a deployment may have been at fault."""
_SPREAD: Final = 0.2
"""The part by which chance lengthens or shortens a delay: receivers of many sinks fail together."""
_RETRY_AFTER_MAX: Final = 3600.0
"""Seconds that a receiver may ask for at most; more would pass for an outage."""
_SUSPECTS_MAX: Final = 3
"""Receipts that are refused one after the other: then the receiver is at fault, not they."""
_PASSING: Final = frozenset({408, 425, 429})
"""Statuses of 4xx that say "not now" (RFC 9110 §15.5.9, RFC 8470, RFC 6585)."""
_GONE: Final = 410  # the status (RFC 9110 §15.5.11)


class Secret(msgspec.Struct, frozen=True, omit_defaults=True):
    """A signing secret, as it was shown; one that was rotated out signs too *until* a time."""

    text: str
    until: int | None = None


class Pending(msgspec.Struct, frozen=True, omit_defaults=True):
    """The batch under way; without *positions* it has yet to be formed.

    It was carried *attempts* times without success, and may be carried again at *next_at*. Up to
    the position *careful_until* receipts are carried one by one, because a batch with them was
    refused; *suspects* are those that were refused alone. *gap* are the first and last position
    that were purged in front of it.
    """

    positions: tuple[int, ...] = ()
    attempts: int = 0
    next_at: int = 0
    careful_until: int = 0
    suspects: tuple[int, ...] = ()
    gap: tuple[int, int] | None = None


class Progress(msgspec.Struct, frozen=True):
    """How far a sink is, and how it fares.

    Nothing but failures were had since *failing_since*, the last of them for *reason*. *lost* is
    the number of positions that were purged before they were carried.
    """

    position: int
    pending: Pending | None = None
    state: str = ACTIVE
    reason: str | None = None
    failing_since: int | None = None
    succeeded_at: int | None = None
    lost: int = 0


class Letter(msgspec.Struct, frozen=True):
    """A receipt that a receiver refused while it took the next one; *receipt* is JSON."""

    position: int
    user: str | None
    receipt: str
    reason: str
    at: int
    status: str = "dead"


class BatchTaken(msgspec.Struct, frozen=True):
    """The receiver has the batch."""


class ReceiverTrouble(msgspec.Struct, frozen=True):
    """The receiver cannot take anything now; it asks for *after* seconds."""

    reason: str
    after: float = 0.0


class BatchRefused(msgspec.Struct, frozen=True):
    """The receiver does not want this batch."""

    reason: str


class ReceiverGone(msgspec.Struct, frozen=True):
    """The receiver does not want any batch, ever."""


Verdict = BatchTaken | ReceiverTrouble | BatchRefused | ReceiverGone


def judge(answer: OutboundAnswer | OutboundFailed, now_ms: int) -> Verdict:
    """The verdict on a batch and its receiver, by the answer or because there is none."""
    if isinstance(answer, OutboundFailed):
        return ReceiverTrouble(answer.reason)
    status, reason = answer.status, f"status_{answer.status}"
    if 200 <= status < 300:
        return BatchTaken()
    if status == _GONE:
        return ReceiverGone()
    if 400 <= status < 500 and status not in _PASSING:
        return BatchRefused(reason)
    return ReceiverTrouble(reason, min(answer.retry_after(now_ms) or 0.0, _RETRY_AFTER_MAX))


def next_scan(progress: Progress) -> int:
    """The position behind which the next batch begins."""
    pending = progress.pending
    return pending.suspects[-1] if pending and pending.suspects else progress.position


def batch_limit(progress: Progress, batch_max: int) -> int:
    """The number of receipts that the next batch may have."""
    pending = progress.pending
    careful = pending is not None and progress.position < pending.careful_until
    return 1 if careful else batch_max


def formed(
    progress: Progress, positions: Sequence[int], through: int, horizon: int, now_ms: int
) -> Progress:
    """*progress* with the next batch: *positions*, which are complete up to *through*.

    Without any, the position moves to *through*. Receipts up to *horizon* were purged.
    """
    before = progress.pending or Pending()
    if before.suspects and not positions:
        # Nothing is there to tell whether the receipt or the receiver is at fault.
        next_at = now_ms + round(_TROUBLE_DELAYS[-1] * 1000)
        again = replace(before, positions=before.suspects[:1], suspects=(), next_at=next_at)
        return replace(progress, pending=again)
    gap = before.gap
    if progress.position < horizon:
        gap = (progress.position + 1 if gap is None else gap[0], horizon)
        lost = progress.lost + horizon - progress.position
        progress = replace(progress, position=horizon, lost=lost)
    if positions:
        pending = replace(before, positions=tuple(positions), attempts=0, next_at=0, gap=gap)
        return replace(progress, pending=pending)
    position = max(progress.position, through)
    careful_until = before.careful_until if position < before.careful_until else 0
    kept = Pending(careful_until=careful_until, gap=gap) if careful_until or gap else None
    return replace(progress, position=position, pending=kept)


def answered(
    progress: Progress, verdict: Verdict, now_ms: int, chance: float, disable_after: float
) -> tuple[Progress, tuple[int, ...]]:
    """*progress* after its pending batch met *verdict*; and the positions that become letters.

    *chance* is in [0, 1), *disable_after* in seconds.
    """
    pending = progress.pending
    assert pending is not None, "only what is pending is answered"
    match verdict:
        case BatchTaken():
            reached = pending.positions[-1]
            careful = reached < pending.careful_until
            done = replace(
                progress,
                position=reached,
                pending=Pending(careful_until=pending.careful_until) if careful else None,
                reason=None,
                failing_since=None,
                succeeded_at=now_ms,
            )
            return done, pending.suspects
        case ReceiverGone():
            return replace(progress, state=DISABLED, reason="gone", pending=None), ()
        case ReceiverTrouble(reason=reason, after=after):
            delay = max(after, _spread(_nth(_TROUBLE_DELAYS, pending.attempts), chance))
            again = _again(pending, now_ms, delay)
        case BatchRefused(reason=reason):
            again = _refused(pending, now_ms, chance)
        case _:
            assert_never(verdict)
    since = now_ms if progress.failing_since is None else progress.failing_since
    failed = replace(progress, pending=again, reason=reason, failing_since=since)
    if now_ms - since >= disable_after * 1000:
        failed = replace(failed, state=DISABLED, reason=f"failing: {reason}")
    return failed, ()


def _refused(pending: Pending, now_ms: int, chance: float) -> Pending:
    until = pending.careful_until
    if not until and pending.attempts < len(_REFUSAL_DELAYS):
        return _again(pending, now_ms, _spread(_REFUSAL_DELAYS[pending.attempts], chance))
    if not until:
        # From here on one by one, until the batch that was refused has passed.
        return Pending(careful_until=pending.positions[-1], gap=pending.gap)
    suspects = (*pending.suspects, *pending.positions)
    if len(suspects) < _SUSPECTS_MAX:
        return Pending(careful_until=until, suspects=suspects, gap=pending.gap)
    first = replace(pending, positions=suspects[:1], suspects=())
    return _again(first, now_ms, _spread(_TROUBLE_DELAYS[-1], chance))


def _again(pending: Pending, now_ms: int, delay: float) -> Pending:
    return replace(pending, attempts=pending.attempts + 1, next_at=now_ms + round(delay * 1000))


def _nth(delays: Sequence[float], number: int) -> float:
    return delays[min(number, len(delays) - 1)]


def _spread(delay: float, chance: float) -> float:
    return delay * (1.0 - _SPREAD + 2.0 * _SPREAD * chance)
