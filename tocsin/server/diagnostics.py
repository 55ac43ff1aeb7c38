"""Metrics, read from the counters that the actors keep anyway (Prometheus text format)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tocsin.server.services import Services

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class _Collector:
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        services = self._services
        store = services.status.statistics
        for name, about, value in (
            ("store_transactions", "Write transactions committed.", store.transactions),
            ("store_commands", "Commands in those transactions.", store.commands),
            ("store_statements", "Statements run by both, each for many rows.", store.statements),
            ("store_reads", "Read batches answered.", store.reads),
            ("store_queries", "Queries in those batches.", store.queries),
            ("store_failures", "Times that the store could not be used.", store.failures),
            ("store_seconds", "Time spent waiting for transactions.", store.seconds),
        ):
            yield CounterMetricFamily(f"tocsin_{name}", about, value)
        for name, about, value in (
            ("store_available", "1 while the store works.", int(services.status.available)),
            ("users_online", "Users with a device on this node.", len(services.users)),
            ("notifications_live", "Notifications with an actor.", len(services.notifications)),
            ("connections", "Open sockets, of every kind.", len(services.connections)),
            (
                "sessions",
                "Open WebSockets.",
                services.connections.session_count,
            ),
        ):
            yield GaugeMetricFamily(f"tocsin_{name}", about, value)


def render_metrics(services: Services) -> bytes:
    """The metrics of this moment."""
    registry = CollectorRegistry()
    registry.register(_Collector(services))
    return generate_latest(registry)
