"""A channel at work: claims sends that are due, has them carried, and settles them.

As many are claimed as can be carried well within their lease, even if every carrier hangs for as
long as it may; and where carriers are quick, as many as take about a second, because a claim costs
much the same for one as for hundreds. A send that waited so long for its turn that its lease could
run out under the carrier is given back. A send is settled when its carrier has answered. If the
node dies between the two, another node carries the send once more when the lease is over: once-ish,
and the receiver can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import structlog
import trio

from tocsin.actors.escalation.configured import ChannelLine
from tocsin.actors.escalation.outcomes import Verdict, give_back, verdict_of
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.storage.requests import Flush, StorageMessage, Write
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.escalation_commands import ClaimedSend, ClaimSends, SettleSends
from tocsin.protocol.channels.carrying import (
    Carried,
    CarriedNotification,
    ChannelDown,
    Parcel,
    TryLater,
)
from tocsin.protocol.channels.send_retry import LEASE
from tocsin.protocol.secret_box import SecretBox, SecretUnreadable, address_context

logger = structlog.get_logger(__name__)

CARRY_TIMEOUT: Final = 15.0
"""Seconds that a carrier has for one parcel."""
_ROUNDS: Final = 3
"""Parcels in hand for each that is carried at a time: the last is done after three times
`CARRY_TIMEOUT`, which is less than its lease."""
_AHEAD: Final = 1.0
"""Seconds of carrying that are claimed ahead: what is claimed is judged, so it should not wait."""
_IN_HAND_MAX: Final = 512
"""Parcels in hand at most, however quick the carriers are: each holds a notification."""
_WEIGHT: Final = 0.1
"""The weight of the last parcel in the average of what a parcel takes."""
_SLEEP_MAX: Final = 15.0
"""Seconds after which to look again in any case: another node may have made sends and died."""
_PAUSE_MIN: Final = 0.05
"""Seconds between two looks that find nothing to carry although something is due."""
_RETRY_DELAY: Final = 1.0
"""Seconds before a store that failed is asked again."""


class ChannelWorker(TableWorker):
    """Works on one *line* of the table of channels, as *node*; *box* opens addresses.

    Claims hold, and sends are due, by the store's *clock*.
    """

    def __init__(
        self,
        line: ChannelLine,
        node: str,
        storage: Ref[StorageMessage],
        clock: StoreClock,
        box: SecretBox | None = None,
    ) -> None:
        self._box = box or SecretBox()
        self._line = line
        self._node = node
        self._storage = storage
        self._clock = clock
        self._in_hand = 0
        self._takes = CARRY_TIMEOUT
        """Seconds that a parcel takes, on average."""
        self._has_more = False
        self._lacks_room = False
        self._places = trio.CapacityLimiter(line.terms.concurrency)

    def tasks(self) -> Tasks:
        """One task, with a task in it for each parcel in hand."""
        return (self._work,)

    async def _work(self) -> None:
        look_at = -math.inf
        async with trio.open_nursery() as nursery:
            while True:
                now = trio.current_time()
                room = self._room(now)
                self._lacks_room = room <= 0
                if now < look_at or room <= 0:
                    # Without room, a parcel that is done rings; a paused channel has its time.
                    opens = math.inf if self._in_hand else self._line.breaker.closed_at
                    await self._line.bell.wait(look_at if room > 0 else opens)
                    look_at = -math.inf
                    continue
                parcels, look_at = await self._claim(room)
                for parcel in parcels:
                    self._in_hand += 1
                    nursery.start_soon(self._deliver, parcel, trio.current_time())

    def _room(self, now: float) -> int:
        """How many sends may be claimed now: none while half of what may be in hand is, and that is
        more than are carried at a time."""
        rounds = max(_ROUNDS, int(_AHEAD / max(self._takes, 0.001)))
        limit = max(
            self._line.terms.concurrency * _ROUNDS,
            min(self._line.terms.concurrency * rounds, _IN_HAND_MAX),
        )
        if self._in_hand > limit // 2:
            return 0
        wanted = limit - self._in_hand
        if self._line.breaker.is_open and self._in_hand:
            # The probe is under way.
            return 0
        return self._line.breaker.room(now, wanted)

    async def _claim(self, room: int) -> tuple[list[list[ClaimedSend]], float]:
        """Parcels to be carried now, and when (Trio time) to look again."""
        terms = self._line.terms
        lease = round(LEASE * 1000)
        try:
            # Acknowledgments that this node knows of linger for a moment, and satisfy.
            await self._storage.ask(Flush())
            await self._clock.look()
            command = ClaimSends(terms.name, self._node, self._clock.now_ms(), room, lease)
            claimed = await self._storage.ask(Write(command=command))
        except (StoreUnavailable, StoreFailed, ActorError):
            return [], trio.current_time() + _RETRY_DELAY
        self._line.outcomes.update(claimed.judged)
        parcels = _parcels(claimed.sends)
        now = trio.current_time()
        self._has_more = claimed.full
        if claimed.full:
            return parcels, -math.inf
        self._line.waiting = claimed.waiting
        due = math.inf
        if claimed.next_at is not None:
            due = now + (claimed.next_at - self._clock.now_ms()) / 1000
        return parcels, min(max(due, now + _PAUSE_MIN), now + _SLEEP_MAX)

    async def _deliver(self, sends: list[ClaimedSend], claimed_at: float) -> None:
        """Carry *sends*, which are one parcel and were claimed at a time (Trio's), and settle
        them."""
        was_open = self._line.breaker.is_open
        try:
            async with self._places:
                started = trio.current_time()
                verdict = self._too_late(sends, claimed_at, started)
                if verdict is None:
                    carried = await self._carry(sends)
                    verdict = self._judged(sends, carried, started)
            await self._settle(verdict)
        finally:
            self._in_hand -= 1
            waited_for = self._has_more or self._lacks_room
            if waited_for or was_open or self._line.breaker.is_open:
                self._line.bell.ring()

    def _too_late(self, sends: list[ClaimedSend], claimed_at: float, now: float) -> Verdict | None:
        """The verdict on a parcel that is not to be carried any more, as its turn has come."""
        breaker = self._line.breaker
        if breaker.is_open and now < breaker.closed_at:
            # The channel failed while this parcel waited for its turn.
            return give_back(sends, self._at(breaker.closed_at), breaker.reason or "")
        if now > claimed_at + LEASE - CARRY_TIMEOUT:
            return give_back(sends, self._clock.now_ms(), "it waited for its turn")
        return None

    def _judged(self, sends: list[ClaimedSend], carried: Carried, started: float) -> Verdict:
        """The verdict on a parcel that was carried from *started* (Trio time) until now."""
        line, breaker = self._line, self._line.breaker
        now = trio.current_time()
        line.seconds += now - started
        self._takes += (now - started - self._takes) * _WEIGHT
        if isinstance(carried, ChannelDown):
            breaker.trouble(now, carried.reason, carried.after)
            line.refused = carried.refused
            log = logger.error if carried.refused else logger.warning
            log("channel cannot be used", channel=line.terms.name, reason=carried.reason)
            line.outcomes["put off"] += len(sends)
            return give_back(sends, self._at(breaker.closed_at), carried.reason)
        breaker.passed()
        verdict = verdict_of(line.terms.name, sends, carried, self._clock.now_ms())
        line.outcomes[verdict.outcome] += len(sends)
        for address in verdict.addresses:
            if address.verdict != "passed":
                line.dead_addresses[address.verdict] += 1
        if verdict.outcome != "sent":
            logger.info(
                "send failed",
                channel=line.terms.name,
                send=sends[0].id,
                outcome=verdict.outcome,
                reason=verdict.reason,
            )
        return verdict

    async def _carry(self, sends: list[ClaimedSend]) -> Carried:
        first, name = sends[0], self._line.terms.name
        try:
            context = address_context(first.user, name, first.address)
            value = self._box.open(first.value, context)
        except SecretUnreadable as error:
            # Of this address; others may have been written with a key that is there.
            logger.warning("address cannot be read", channel=name, send=first.id)
            return TryLater(f"the address cannot be read: {error}")
        parcel = Parcel(
            first.id,
            first.user,
            first.address,
            value,
            tuple(
                [
                    CarriedNotification(each.notification, each.document, each.expires_at)
                    for each in sends
                ]
            ),
            self._clock.now_ms(),
        )
        try:
            with trio.fail_after(CARRY_TIMEOUT):
                return await self._line.terms.carrier.carry(parcel)
        except trio.TooSlowError:
            return TryLater("no answer in time")
        except Exception:
            # A bug of a carrier costs its parcel some attempts, and nobody else anything.
            logger.exception("carrier failed", channel=name, send=first.id)
            return TryLater("internal error")

    async def _settle(self, verdict: Verdict) -> None:
        """Note *verdict*; tried again while the sends are ours, since they would go out twice."""
        until = trio.current_time() + LEASE / 2
        command = SettleSends(self._node, verdict.sends, verdict.addresses, self._clock.now_ms())
        while True:
            try:
                await self._storage.ask(Write(command=command))
                return
            except (StoreUnavailable, StoreFailed, ActorError):
                if trio.current_time() > until:
                    return
                await trio.sleep(_RETRY_DELAY)

    def _at(self, time: float) -> int:
        """*time* (Trio's) in Unix milliseconds."""
        return self._clock.now_ms() + round((time - trio.current_time()) * 1000)


def _parcels(sends: Sequence[ClaimedSend]) -> list[list[ClaimedSend]]:
    """*sends* in the order of their ids; those of a digest to one address together."""
    single = [[each] for each in sends if not each.digest]
    gathered = sorted(
        (each for each in sends if each.digest), key=lambda each: (each.user, each.address, each.id)
    )
    digests = groupby(gathered, key=lambda each: (each.user, each.address))
    return [*single, *(list(group) for _, group in digests)]
