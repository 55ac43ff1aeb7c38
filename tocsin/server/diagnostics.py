"""Metrics, read from the counters that the actors keep anyway (Prometheus text format)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tocsin.actors.spool.line import SpoolLine
from tocsin.server.admission.refusals import Refusals
from tocsin.server.connector_status import Connectors, ConnectorStatus, IngestState
from tocsin.server.services import Services

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class _Collector:
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        services = self._services
        store = services.status.statistics
        yield from _counters(
            "",
            ("store_transactions", "Write transactions committed.", store.transactions),
            ("store_commands", "Commands in those transactions.", store.commands),
            ("store_statements", "Statements run by both, each for many rows.", store.statements),
            ("store_reads", "Read batches answered.", store.reads),
            ("store_queries", "Queries in those batches.", store.queries),
            ("store_failures", "Times that the store could not be used.", store.failures),
            ("store_seconds", "Time spent waiting for transactions.", store.seconds),
            (
                "asyncio_faults",
                "Exceptions in asyncio that nobody collected.",
                services.loop_faults(),
            ),
        )
        yield from _gauges(
            "",
            ("store_available", "1 while the store works.", int(services.status.available)),
            ("users_online", "Users with a device on this node.", len(services.users)),
            ("notifications_live", "Notifications with an actor.", len(services.notifications)),
            ("connections", "Open sockets, of every kind.", len(services.connections)),
            (
                "sessions",
                "Open WebSockets, streams and long polls.",
                services.connections.session_count,
            ),
        )
        yield from _of_bus(services)
        yield from _of_presence(services)
        yield _of_refusals(services.refusals)
        if services.spooler is not None:
            yield from _of_spool(services.spooler)
        if services.connectors:
            yield from _of_connectors(services.connectors)


def _of_bus(services: Services) -> Iterator[Metric]:
    counted = services.bus.statistics
    yield from _counters(
        "bus_",
        ("said", "Envelopes said to other nodes.", counted.said),
        ("heard", "Envelopes heard from other nodes.", counted.heard),
        ("dropped", "Envelopes that there was no room to say.", counted.dropped),
        ("unreadable", "Envelopes heard that this release cannot read.", counted.unreadable),
        ("gaps", "Times that something may have gone unheard.", counted.gaps),
        ("failures", "Times that the bus could not be used.", counted.failures),
        ("losses", "Times that this node became deaf.", counted.losses),
        ("reconciliations", "Looks at the logs of everybody here.", counted.reconciliations),
        ("found", "Users whose log was further than this node was told.", counted.found),
    )
    refused = CounterMetricFamily(
        "tocsin_redis_refused",
        "Things found in Redis that no node of this cluster has put there.",
        labels=("what", "reason"),
    )
    for (what, reason), count in counted.refused.items():
        refused.add_metric((what, reason), count)
    yield refused
    yield from _gauges(
        "bus_",
        ("available", "1 while this node hears the cluster.", int(services.bus.available)),
        ("nodes", "Other nodes that are heard.", services.neighbours.audible),
    )


def _of_presence(services: Services) -> Iterator[Metric]:
    about = "Connections with a device on them, on this node."
    yield GaugeMetricFamily("tocsin_devices_present", about, len(services.attendance))


def _of_refusals(refusals: Refusals) -> Metric:
    about = "What the edges refused, by reason; limits by the name of their setting."
    family = CounterMetricFamily("tocsin_refused", about, labels=("reason",))
    for reason, count in refusals.counts.items():
        family.add_metric((str(reason),), count)
    return family


def _of_spool(spooler: SpoolLine) -> Iterator[Metric]:
    counted = spooler.statistics
    yield from _counters(
        "spool_",
        ("spooled", "Posts and changes written to the spool by this node.", counted.spooled),
        ("drained", "Entries that this node brought to the store.", counted.drained),
        ("repeated", "Of these, known to the store already.", counted.repeated),
        ("expired", "Of these, expired while they waited.", counted.expired),
        ("moot", "Of these, changes of what is no more.", counted.moot),
        ("poisoned", "Entries that can never be stored, kept aside.", counted.poisoned),
    )
    yield from _gauges(
        "spool_",
        ("available", "1 while the spool can be used.", int(spooler.reachable)),
        ("entries", "Entries of all nodes, at the last look.", spooler.waiting),
    )


def _of_connectors(connectors: Connectors) -> Iterator[Metric]:
    counters: dict[str, tuple[str, Callable[[ConnectorStatus], float]]] = {
        "taken": ("Messages that connectors took.", lambda each: each.counters.taken),
        "accepted": ("Of these, stored.", lambda each: each.counters.accepted),
        "replayed": ("Of these, known to the store already.", lambda each: each.counters.replayed),
        "refused": ("Of these, made dead letters.", lambda each: each.counters.refused),
        "unkeyed": ("Of these, without a key.", lambda each: each.counters.unkeyed),
        "seconds": ("Time spent on batches.", lambda each: each.counters.seconds),
        "loop_faults": (
            "Exceptions of their asyncio loops that nobody collected.",
            lambda each: each.terms.loop_faults(),
        ),
    }
    for name, (about, value) in counters.items():
        counter = CounterMetricFamily(f"tocsin_ingest_{name}", about, labels=("connector",))
        for each in connectors.all:
            counter.add_metric((each.terms.name,), value(each))
        yield counter
    lag = GaugeMetricFamily(
        "tocsin_ingest_lag", "Messages that wait in the broker.", labels=("connector",)
    )
    state = GaugeMetricFamily(
        "tocsin_ingest_state", "1 for the state it is in.", labels=("connector", "state")
    )
    for each in connectors.all:
        if each.lag is not None:
            lag.add_metric((each.terms.name,), each.lag)
        for known in IngestState:
            state.add_metric((each.terms.name, known.value), int(each.state is known))
    yield lag
    yield state


def _counters(prefix: str, *rows: tuple[str, str, float]) -> Iterator[Metric]:
    for name, about, value in rows:
        yield CounterMetricFamily(f"tocsin_{prefix}{name}", about, value)


def _gauges(prefix: str, *rows: tuple[str, str, float]) -> Iterator[Metric]:
    for name, about, value in rows:
        yield GaugeMetricFamily(f"tocsin_{prefix}{name}", about, value)


def render_metrics(services: Services) -> bytes:
    """The metrics of this moment."""
    registry = CollectorRegistry()
    registry.register(_Collector(services))
    return generate_latest(registry)
