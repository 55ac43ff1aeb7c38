"""The hands of forwarders: how a batch of receipts reaches a webhook, or a broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tocsin.actors.delivery.timing import Timing
from tocsin.actors.sinks.terms import SinkTerms
from tocsin.actors.world import World
from tocsin.persistence.sink import KeptSink, SinkMessage
from tocsin.persistence.source import SourceAway, SourceRefused
from tocsin.persistence.store.sink_commands import StoredSink
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed, OutboundPort
from tocsin.protocol.receipts.receipt import RECEIPT_ID, Receipt, correlation_of, receipt_json
from tocsin.protocol.receipts.sink import BatchTaken, ReceiverTrouble, Secret, Verdict, judge
from tocsin.protocol.receipts.webhook import message_of, signed_headers
from tocsin.protocol.secret_box import SecretUnreadable

Gap = tuple[int, int] | None
"""The first and last position that were purged in front of a batch."""
_REASON_MAX: Final = 200
"""Characters of a failure that a sink shows."""


class Hand(Protocol):
    """A forwarder's connection to its sink; one task uses it."""

    async def carry(self, batch: Sequence[Receipt], gap: Gap) -> Verdict:
        """Carry *batch*. Cancelled, the receiver may have any part of it."""

    async def aclose(self) -> None:
        """Let go of what is open, also if cancelled. Never raises."""


class WebhookHand:
    """Carries to the webhook *sink*; *secrets_of* opens its secrets, *epoch* gives the store's."""

    def __init__(
        self,
        sink: StoredSink,
        secrets_of: Callable[[StoredSink], Sequence[Secret]],
        outbound: OutboundPort,
        world: World,
        epoch: Callable[[], str],
        timing: Timing,
    ) -> None:
        self._sink = sink
        self._secrets_of = secrets_of
        self._timing = timing
        self._outbound = outbound
        self._world = world
        self._epoch = epoch

    async def carry(self, batch: Sequence[Receipt], gap: Gap) -> Verdict:
        answer = await self._post(batch, gap)
        return judge(answer, self._world.now_ms())

    async def aclose(self) -> None:
        """Nothing is open between two batches."""

    async def _post(self, batch: Sequence[Receipt], gap: Gap) -> OutboundAnswer | OutboundFailed:
        sink = self._sink
        alone = sink.batch_max == 1
        message_id, body = message_of(batch, self._epoch(), gap, alone=alone)
        try:
            secrets = self._secrets_of(sink)
        except SecretUnreadable as error:
            # An operator's fault: the webhook is in trouble until there is a key again.
            return OutboundFailed("secret_unreadable", str(error))
        headers = signed_headers(message_id, body, secrets, self._world.now_ms())
        span = self._timing.carried(
            [each.notification for each in batch if each.notification is not None]
        )
        if span is not None:
            headers |= span.headers
        try:
            answer: OutboundAnswer | OutboundFailed
            answer = await self._outbound.post(sink.url, headers, body)
        except OutboundFailed as error:
            answer = error
        if span is not None:
            span.ended(_failure(answer))
        return answer


class BrokerHand:
    """Carries to the sink in a broker that *terms* name; *epoch* gives the store's."""

    def __init__(self, terms: SinkTerms, epoch: Callable[[], str]) -> None:
        self._terms = terms
        self._epoch = epoch
        self._sink = KeptSink(terms.connect)

    async def carry(self, batch: Sequence[Receipt], gap: Gap) -> Verdict:
        messages = [self._message(each, None) for each in batch]
        messages[0] = self._message(batch[0], gap)
        try:
            await self._sink.carry(messages)
        except (SourceAway, SourceRefused) as error:
            return ReceiverTrouble(_told(error))
        return BatchTaken()

    async def aclose(self) -> None:
        await self._sink.aclose()

    def _message(self, receipt: Receipt, gap: Gap) -> SinkMessage:
        epoch = self._epoch()
        id_ = f"{epoch}-{receipt.position}"
        headers = {RECEIPT_ID: id_, "kind": receipt.kind}
        if (correlation := correlation_of(receipt)) is not None:
            headers["correlation-id"] = correlation
        if gap is not None:
            headers["gap"] = f"{gap[0]}-{gap[1]}"
        by_user = None if self._terms.by_notification else receipt.user
        return SinkMessage(
            id=id_,
            kind=receipt.kind,
            key=by_user or receipt.notification or id_,
            body=receipt_json(receipt, epoch).encode(),
            headers=headers,
        )


def _failure(answer: OutboundAnswer | OutboundFailed) -> str | None:
    if isinstance(answer, OutboundFailed):
        return "not reached"
    return None if 200 <= answer.status < 300 else f"status {answer.status}"


def _told(error: Exception) -> str:
    kind = "refused" if isinstance(error, SourceRefused) else "away"
    return f"{kind}: {error}"[:_REASON_MAX]
