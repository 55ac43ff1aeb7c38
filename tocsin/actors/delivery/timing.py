"""How long changes take from their producer to the devices, and what becomes of the pushes.

A change *departs* when a node takes it from its producer. The departures of the last minutes are
kept here by notification, so that no value on the way of a push has to carry the time: the node
that pushes, and later the one that hears the acknowledgment, look it up. A change that came over
the bus departed on another node; its envelope brings that node's time, which `Peers` converts. So
no two clocks are compared.

A change whose departure is not known (one of a schedule, of a topic on another node, or older than
what is kept here) is pushed and counted, and not timed. Nor is a push to a device that was away:
its time would be that of the absence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Final, Literal, Protocol

import msgspec
import trio

from tocsin.actors.delivery.outlet import TRANSPORTS, Outlet, Transport
from tocsin.actors.runtime.histogram import Histogram
from tocsin.actors.spectators import Sightings, Spectators
from tocsin.protocol.cluster.sightings import Sight
from tocsin.protocol.log.ledger import ATTEMPTS_EXHAUSTED, DeliveryRecord
from tocsin.protocol.log.push import Push
from tocsin.protocol.traceparent import SpanContext

Path = Literal["local", "bus", "store"]
PATHS: Final[tuple[Path, ...]] = ("local", "bus", "store")
Via = Literal["http", "batch", "websocket", "broker"]
"""The way on which a change came from its producer."""
VIAS: Final[tuple[Via, ...]] = ("http", "batch", "websocket", "broker")

DEPARTURES_MAX: Final = 50_000
"""Departures in a generation; two are kept. At 1 000 posts a second that is a minute and a half,
and some 20 MiB."""


class Departure(msgspec.Struct, frozen=True, gc=False):
    """A change was taken from its producer *at* this time (Trio's), here or on another node.

    *spread* has the times of the pushes on this path.
    """

    at: float
    spread: Histogram


class TransportStatistics:
    """Counters of the sessions on one transport, since the node's start.

    *acks* spreads the time from a change's departure to its acknowledgment. A push is sent again
    because it was *unanswered*, or because the device had *refused* it (a nack).
    """

    __slots__ = (
        *("acknowledged", "acks", "dead_refused", "dead_unanswered", "pushes", "refused"),
        *("resends_refused", "resends_unanswered"),
    )

    def __init__(self) -> None:
        self.acks = Histogram()
        self.pushes = 0
        self.acknowledged = self.refused = 0
        self.resends_unanswered = self.resends_refused = 0
        self.dead_unanswered = self.dead_refused = 0

    def died(self, line: DeliveryRecord) -> None:
        """Count a push that the ledger's *line* gives up."""
        if line.dead_reason == ATTEMPTS_EXHAUSTED:
            self.dead_unanswered += 1
        else:
            self.dead_refused += 1


class CarriedSpan(Protocol):
    """A message on its way to a webhook, with the *headers* that name its span."""

    headers: Mapping[str, str]

    def ended(self, failed: str | None) -> None:
        """The message was taken, or why it was not."""


class Timing:
    """The table of departures, and the statistics of pushes; see the module."""

    __slots__ = (
        *("_earlier", "_local", "_now", "_recent"),
        *("by_transport", "pushes", "requests", "sightings", "spectators"),
    )

    is_tracing: ClassVar = False

    def __init__(self) -> None:
        self._recent: dict[str, Departure] = {}
        self._earlier: dict[str, Departure] = {}
        self._now: Callable[[], float] = self._first_time
        self.pushes: Final = {path: Histogram() for path in PATHS}
        """From a departure to the moment when the push was handed to the transport."""
        self._local = self.pushes["local"]
        self.requests: Final[dict[Via, Histogram]] = {via: Histogram() for via in VIAS}
        """From a departure to the answer of the producer."""
        self.by_transport: Final[dict[Transport, TransportStatistics]] = {
            transport: TransportStatistics() for transport in TRANSPORTS
        }
        self.sightings: Sightings | None = None
        """Where what happens is noted for operators who look on; `None` while nobody does."""
        self.spectators: Final = Spectators(self._look_on)

    def _look_on(self, sightings: Sightings | None) -> None:
        self.sightings = sightings

    # --- Departures ------------------------------------------------------------------------------

    def departed(self, notification: str) -> None:
        """Note that a change of *notification* was taken from its producer, now."""
        self._note(notification, Departure(self._now(), self._local))

    def departed_elsewhere(self, notification: str, at: float, trace: str | None = None) -> None:
        """Note that another node took a change of *notification*, *at* this time (Trio's, ours).

        *trace* is what that node's `trace_of` says.
        """
        known = self._recent.get(notification)
        # Each recipient's envelope says it.
        if known is None or known.at < at:
            self._note(notification, Departure(at, self.pushes["bus"]))

    def find(self, notification: str) -> Departure | None:
        """The last departure of *notification*, if it is known."""
        return self._recent.get(notification) or self._earlier.get(notification)

    def _note(self, notification: str, departure: Departure) -> None:
        self._recent[notification] = departure
        if len(self._recent) >= DEPARTURES_MAX:
            self._earlier, self._recent = self._recent, {}

    # --- Arrivals --------------------------------------------------------------------------------

    def answered(self, notification: str, result: object, via: Via) -> None:
        """Time an answer to the producer about *notification*: the *result* is durable."""
        if (departure := self.find(notification)) is not None:
            self.requests[via].observe(self._now() - departure.at)
        if self.sightings is not None:
            outcome = type(result).__name__.lower()
            self.sightings.take(Sight.COMMITTED, notification, detail=outcome)

    def pushed(self, notification: str, outlet: Outlet) -> None:
        """Time a push that followed at once, without a look into the store."""
        # `find` without a call: this is done for every push.
        departure = self._recent.get(notification) or self._earlier.get(notification)
        if departure is not None:
            departure.spread.observe(self._now() - departure.at)

    def sent(self, push: Push, outlet: Outlet, counted: TransportStatistics) -> None:
        """Time and count a *push* that was read from the store, or is sent again."""
        if push.tries > 1:
            # A nack sets the count of what is unanswered back.
            if push.unanswered > 1:
                counted.resends_unanswered += 1
            else:
                counted.resends_refused += 1
            return
        counted.pushes += 1
        if not push.replay and (departure := self.find(push.notification_id)) is not None:
            self.pushes["store"].observe(self._now() - departure.at)

    def acknowledged(
        self, notification: str, outlet: Outlet, counted: TransportStatistics, now: float
    ) -> None:
        """Time and count an acknowledgment of *notification* that came at *now* (Trio time)."""
        counted.acknowledged += 1
        departure = self._recent.get(notification) or self._earlier.get(notification)
        if departure is not None:
            counted.acks.observe(now - departure.at)

    # --- Traces, which `TracedTiming` has --------------------------------------------------------

    def follow(self, notification: str, traceparent: str | None) -> SpanContext | None:
        """Trace *notification*, if the request with that header is sampled."""
        return None

    def trace_of(self, notification: str) -> str | None:
        """The `traceparent` that other nodes are told of."""
        return None

    def spans(self) -> Iterable[tuple[str, int]]:
        """Each fate of spans, and the number of those that met it."""
        return ()

    def carried(self, notifications: Sequence[str]) -> CarriedSpan | None:
        """The span of a message about *notifications* that goes to a webhook."""
        return None

    def _first_time(self) -> float:
        # Trio's clock itself takes 0.09 µs where `trio.current_time` takes 0.15.
        self._now = trio.lowlevel.current_clock().current_time
        return self._now()
