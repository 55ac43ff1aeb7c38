"""The values of a moment, read from the counters that the actors keep anyway."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import NamedTuple

import trio

from tocsin import __version__
from tocsin.actors.escalation.configured import ConfiguredChannels
from tocsin.actors.runtime.histogram import Histogram
from tocsin.actors.sinks.table import SinksTable
from tocsin.actors.spool.line import SpoolLine
from tocsin.server.connector_status import ConnectorStatus, IngestState
from tocsin.server.metrics.process import process_readings
from tocsin.server.services import Services


class MetricValue(NamedTuple):
    """One value of the metric *name*, with the values of its labels."""

    name: str
    value: float | Histogram
    labels: tuple[str, ...] = ()


def readings(services: Services) -> Iterator[MetricValue]:
    """All values of this moment."""
    yield from _of_node(services)
    yield from _of_people(services)
    yield from _of_deliveries(services)
    yield from _of_store(services)
    yield from _of_bus(services)
    if services.spooler is not None:
        yield from _of_spool(services.spooler)
    for connector in services.connectors.all:
        yield from _of_connector(connector)
    if services.channels.lines:
        yield from _of_channels(services.channels)
    yield from _of_sinks(services.sinks)


def _of_node(services: Services) -> Iterator[MetricValue]:
    release = (__version__, platform.python_version(), services.settings.store)
    yield MetricValue("build_info", 1, release)
    yield MetricValue("loop_busy", services.loop.busy)
    yield MetricValue("loop_lag_seconds", services.loop.lag)
    yield MetricValue("tasks", trio.lowlevel.current_statistics().tasks_living)
    yield MetricValue("asyncio_faults", services.loop_faults())
    for name, value in process_readings():
        yield MetricValue(name, value)


def _of_people(services: Services) -> Iterator[MetricValue]:
    yield MetricValue("connections", len(services.connections))
    yield MetricValue("sessions", services.connections.session_count)
    for transport, count in services.connections.sessions_by_transport.items():
        yield MetricValue("sessions_by_transport", count, (transport,))
    yield MetricValue("sessions_resting", len(services.users.resting))
    yield MetricValue("users_online", len(services.users))
    yield MetricValue("devices_present", len(services.attendance))
    yield MetricValue("notifications_live", len(services.notifications))
    for reason, count in services.refusals.counts.items():
        yield MetricValue("refused", count, (str(reason),))
    for kind, count in services.authenticator.failures.items():
        yield MetricValue("auth_failures", count, (kind,))
    for closing, count in services.connections.ends.items():
        yield MetricValue("closed", count, ("left" if closing is None else closing.word,))


def _of_deliveries(services: Services) -> Iterator[MetricValue]:
    timing = services.timing
    for via, times in timing.requests.items():
        yield MetricValue("publish_seconds", times, (via,))
    for path, spread in timing.pushes.items():
        yield MetricValue("publish_push_seconds", spread, (path,))
    for transport, counted in timing.by_transport.items():
        yield MetricValue("publish_ack_seconds", counted.acks, (transport,))
        yield MetricValue("pushes", counted.pushes, (transport,))
    all_ = timing.by_transport.values()
    yield MetricValue("resends", sum(each.resends_unanswered for each in all_), ("unanswered",))
    yield MetricValue("resends", sum(each.resends_refused for each in all_), ("refused",))
    yield MetricValue("acks", sum(each.acknowledged for each in all_), ("acknowledged",))
    yield MetricValue("acks", sum(each.refused for each in all_), ("refused",))
    yield MetricValue("dead_letters", sum(each.dead_unanswered for each in all_), ("unanswered",))
    yield MetricValue("dead_letters", sum(each.dead_refused for each in all_), ("refused",))
    for outcome, count in timing.spans():
        yield MetricValue("trace_spans", count, (outcome,))


def _of_store(services: Services) -> Iterator[MetricValue]:
    counted = services.status.statistics
    yield MetricValue("store_available", int(services.status.available))
    yield MetricValue("store_failures", counted.failures)
    yield MetricValue("store_transactions", counted.transactions)
    yield MetricValue("store_commands", counted.commands)
    yield MetricValue("store_seconds", counted.seconds)
    yield MetricValue("store_transaction_seconds", counted.writes, ("write",))
    yield MetricValue("store_transaction_seconds", counted.read_batches, ("read",))
    yield MetricValue("store_group_commands", counted.group)
    yield MetricValue("store_statements", counted.statements)
    yield MetricValue("store_reads", counted.reads)
    yield MetricValue("store_queries", counted.queries)


def _of_bus(services: Services) -> Iterator[MetricValue]:
    counted = services.bus.statistics
    yield MetricValue("bus_available", int(services.bus.available))
    yield MetricValue("bus_nodes", services.neighbours.audible)
    yield MetricValue("bus_seconds", counted.seconds)
    yield MetricValue("bus_said", counted.said)
    yield MetricValue("bus_heard", counted.heard)
    yield MetricValue("bus_dropped", counted.dropped)
    yield MetricValue("bus_unreadable", counted.unreadable)
    yield MetricValue("bus_gaps", counted.gaps)
    yield MetricValue("bus_failures", counted.failures)
    yield MetricValue("bus_losses", counted.losses)
    yield MetricValue("bus_reconciliations", counted.reconciliations)
    yield MetricValue("bus_found", counted.found)
    yield MetricValue("bus_held_seconds", counted.held)
    for (what, reason), count in counted.refused.items():
        yield MetricValue("redis_refused", count, (what, reason))


def _of_spool(spooler: SpoolLine) -> Iterator[MetricValue]:
    counted = spooler.statistics
    yield MetricValue("spool_available", int(spooler.reachable))
    yield MetricValue("spool_entries", spooler.waiting)
    yield MetricValue("spool_spooled", counted.spooled)
    yield MetricValue("spool_drained", counted.drained)
    yield MetricValue("spool_repeated", counted.repeated)
    yield MetricValue("spool_expired", counted.expired)
    yield MetricValue("spool_moot", counted.moot)
    yield MetricValue("spool_poisoned", counted.poisoned)


def _of_connector(connector: ConnectorStatus) -> Iterator[MetricValue]:
    counted, own = connector.counters, (connector.terms.name,)
    for state in IngestState:
        yield MetricValue("ingest_state", int(connector.state is state), (*own, state.value))
    if connector.lag is not None:
        yield MetricValue("ingest_lag", connector.lag, own)
    yield MetricValue("ingest_taken", counted.taken, own)
    yield MetricValue("ingest_accepted", counted.accepted, own)
    yield MetricValue("ingest_replayed", counted.replayed, own)
    yield MetricValue("ingest_refused", counted.refused, own)
    yield MetricValue("ingest_unkeyed", counted.unkeyed, own)
    yield MetricValue("ingest_seconds", counted.seconds, own)
    yield MetricValue("ingest_loop_faults", connector.terms.loop_faults(), own)


def _of_channels(channels: ConfiguredChannels) -> Iterator[MetricValue]:
    counted = channels.statistics
    yield MetricValue("escalations_done", counted.plans)
    yield MetricValue("escalations_sends", counted.sends)
    yield MetricValue("escalations_late_seconds", counted.late)
    for name, line in channels.lines.items():
        yield MetricValue("channel_available", int(line.state == "ok"), (name,))
        yield MetricValue("sends_waiting", line.waiting, (name,))
        yield MetricValue("send_seconds", line.seconds, (name,))
        for outcome, count in line.outcomes.items():
            yield MetricValue("sends", count, (name, outcome))
        for reason, count in line.dead_addresses.items():
            yield MetricValue("addresses_dead", count, (name, reason))


def _of_sinks(sinks: SinksTable) -> Iterator[MetricValue]:
    yield MetricValue("sinks_disabled", sinks.disabled)
    for sink, figures in sinks.figures.items():
        yield MetricValue("sink_batches", figures.batches, (sink,))
        yield MetricValue("sink_failures", figures.failures, (sink,))
        yield MetricValue("sink_letters", figures.letters, (sink,))
        yield MetricValue("sink_behind", figures.behind, (sink,))
