"""The forwarder: the actor that carries receipts to one sink, as long as this node has its lease.

Nothing is carried before it is written down, and the position moves after the receiver has said
2xx, or the broker has confirmed, never before. So a node that dies in between leaves a batch that
the next one carries again: at least once, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Never

import structlog
import trio

from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Actor, Context
from tocsin.actors.sinks.hands import Hand
from tocsin.actors.sinks.table import SinkFigures, SinksTable
from tocsin.actors.sinks.watch import LOOK_INTERVAL, ReceiptWatch
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.actors.world import World
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.receipt_queries import FindReceipts, ReadReceipts
from tocsin.persistence.store.sink_commands import SaveProgress, StoredSink
from tocsin.protocol.receipts.receipt import Receipt, receipt_json
from tocsin.protocol.receipts.sink import (
    ACTIVE,
    DISABLED,
    BatchTaken,
    Letter,
    Progress,
    answered,
    batch_limit,
    formed,
    next_scan,
)

logger = structlog.get_logger(__name__)

_SLEEP_MAX: Final = 5.0
"""Seconds of sleep before the next attempt is looked at again: wall clocks jump."""
_RETRY_DELAY: Final = 1.0
"""Seconds before a store that failed is asked again."""


class SinkForwarder(Actor[Never]):
    """Carries to *sink* with a *hand*; ends when the lease is lost or the sink rests.

    *disable_after* is in seconds; *epoch* gives the store's. The times of progress are those of the
    store's *clock*, since another node may go on with it.
    """

    def __init__(
        self,
        sink: StoredSink,
        table: SinksTable,
        watch: ReceiptWatch,
        storage: Ref[StorageMessage],
        hand: Hand,
        world: World,
        clock: StoreClock,
        *,
        node: str,
        epoch: Callable[[], str],
        disable_after: float,
    ) -> None:
        self._sink = sink
        self._progress = sink.progress
        self._table = table
        self._watch = watch
        self._storage = storage
        self._hand = hand
        self._world = world
        self._clock = clock
        self._node = node
        self._epoch = epoch
        self._disable_after = disable_after
        self._carrying = trio.Lock()

    async def run(self, context: Context[Never]) -> None:
        """Carry until told to stop; then let the batch in hand be carried and saved.

        Cancelling abandons the batch: it is carried again.
        """
        async with trio.open_nursery() as nursery:
            name = f"{context.ref.path}/carrying"
            nursery.start_soon(self._carry_all, nursery.cancel_scope, name=name)
            await super().run(context)
            async with self._carrying:
                nursery.cancel_scope.cancel()

    async def _carry_all(self, scope: trio.CancelScope) -> None:
        try:
            while self._holds() and self._progress.state == ACTIVE:
                async with self._carrying:
                    pause = await self._step()
                if pause:
                    await self._watch.wait(pause)
        finally:
            await self._hand.aclose()
        # The keeper makes another one when this node has the sink again.
        scope.cancel()

    def _holds(self) -> bool:
        return self._table.holds(self._sink, trio.current_time())

    async def _step(self) -> float:
        """Form the next batch or carry the pending one; seconds to wait before the next step."""
        progress = self._progress
        try:
            if progress.pending is None or not progress.pending.positions:
                following = await self._form(progress)
                if following == progress:
                    return LOOK_INTERVAL
                await self._save(following, ())
                return 0.0
            wait = (progress.pending.next_at - self._clock.now_ms()) / 1000
            if wait > 0:
                return min(wait, _SLEEP_MAX)
            await self._carry(progress)
            return 0.0
        except (StoreUnavailable, StoreFailed, ActorError):
            return _RETRY_DELAY

    async def _form(self, progress: Progress) -> Progress:
        limit = batch_limit(progress, self._sink.batch_max)
        query = ReadReceipts(next_scan(progress), self._sink.filter, limit)
        page = await self._storage.ask(Read(query=query))
        self._figures.behind = page.head - page.through + len(page.receipts)
        positions = [each.position for each in page.receipts]
        return formed(progress, positions, page.through, page.horizon, self._clock.now_ms())

    async def _carry(self, progress: Progress) -> None:
        pending = progress.pending
        assert pending is not None
        wanted = FindReceipts((*pending.positions, *pending.suspects))
        receipts = (await self._storage.ask(Read(query=wanted))).receipts
        found = {each.position: each for each in receipts}
        batch = [found[each] for each in pending.positions if each in found]
        if not batch:
            # They were purged meanwhile: the next batch begins behind the horizon, and says so.
            self._progress = Progress(progress.position, lost=progress.lost)
            return
        verdict = await self._hand.carry(batch, pending.gap)
        now_ms = self._clock.now_ms()
        chance = self._world.random()
        following, dead = answered(progress, verdict, now_ms, chance, self._disable_after)
        reason = progress.reason or "refused"
        letters = tuple(
            [self._letter(found[each], reason, now_ms) for each in dead if each in found]
        )
        self._note(following, taken=isinstance(verdict, BatchTaken), letters=len(letters))
        if following.pending is None and following.state != DISABLED:
            following = await self._form(following)
        await self._save(following, letters)

    def _letter(self, receipt: Receipt, reason: str, now_ms: int) -> Letter:
        text = receipt_json(receipt, self._epoch())
        return Letter(receipt.position, receipt.user, text, reason, now_ms)

    async def _save(self, following: Progress, letters: tuple[Letter, ...]) -> None:
        """Write *following*; raises what the store raises, and then it is tried again later."""
        sink, now_ms = self._sink, self._clock.now_ms()
        command = SaveProgress(sink.id, self._node, sink.revision, following, letters, now_ms)
        result = await self._storage.ask(Write(command=command))
        if isinstance(result, NotFound):
            # Another node has it, or an operator has changed it: that counts, not what we did.
            self._table.leases.pop(self._sink.id, None)
        self._progress = following

    @property
    def _figures(self) -> SinkFigures:
        return self._table.figures.setdefault(self._sink.id, SinkFigures())

    def _note(self, following: Progress, *, taken: bool, letters: int) -> None:
        figures, sink = self._figures, self._sink.id
        figures.batches += taken
        figures.failures += not taken
        figures.letters += letters
        figures.failing_since = following.failing_since
        if following.state == DISABLED:
            logger.error("sink disabled", sink=sink, reason=following.reason)
        elif following.failing_since is not None and self._progress.failing_since is None:
            logger.warning("sink fails", sink=sink, reason=following.reason)
        elif taken and self._progress.failing_since is not None:
            logger.info("sink is back", sink=sink)
