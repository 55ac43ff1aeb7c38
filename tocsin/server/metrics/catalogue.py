"""All metrics, by name: kind, labels, and what each tells an operator.

docs/observing.md has this table (`tocsin config metrics`), and what is not in it cannot be
exported: so no metric is without a word of explanation.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One metric. *name* is without `tocsin_` and without the suffix of its kind."""

    name: str
    kind: Kind
    about: str
    """A sentence: what it is, and what to do about it, if there is something."""
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as it is written in queries: with `_total` for a counter."""
        prefix = "" if self.name.startswith("process_") else "tocsin_"
        return f"{prefix}{self.name}{'_total' if self.kind == 'counter' else ''}"


METRICS: Final[tuple[Metric, ...]] = (
    # --- The node ---
    Metric("build_info", "gauge", "1, with the release as labels.", ("version", "python", "store")),
    Metric(
        "loop_busy", "gauge",
        "Share of one core that the event loop uses, 0 to 1. A node is one process: above 0.8 it "
        "answers late, and another node is due.",
    ),
    Metric(
        "loop_lag_seconds", "histogram",
        "How late the event loop woke a timer, four times a second: what everything waits for "
        "besides its own work.",
    ),
    Metric("tasks", "gauge",
        "Tasks of the event loop. Follows `tocsin_connections`; alone, it should stand still."),
    Metric("asyncio_faults", "counter",
        "Exceptions in asyncio that no task has collected (the drivers of Postgres and Redis live "
        "there); the log has their tracebacks, one in ten seconds."),
    Metric("process_cpu_seconds", "counter", "CPU time, user and system."),
    Metric("process_resident_memory_bytes", "gauge", "Memory that is in RAM."),
    Metric("process_open_fds", "gauge", "Open file descriptors; each connection is one."),
    Metric("process_max_fds", "gauge",
        "Most file descriptors that the process may open. Alert when `process_open_fds` is beyond "
        "85 % of it."),
    Metric("process_start_time_seconds", "gauge", "When the process began, in Unix time."),
    # --- People ---
    Metric("connections", "gauge",
        "Open sockets of every kind. Alert when it comes near `connections_max`."),
    Metric("sessions", "gauge", "Open WebSockets, streams and long polls."),
    Metric("sessions_by_transport", "gauge", "The same by transport.", ("transport",)),
    Metric("sessions_resting", "gauge",
        "Sessions of polling devices between two polls, on a node that is alone: memory, and no "
        "socket."),
    Metric("users_online", "gauge", "Users with a device on this node."),
    Metric("devices_present", "gauge", "Connections with a device on them."),
    Metric("notifications_live", "gauge", "Notifications that wait for acknowledgments right now."),
    Metric("refused", "counter",
        "What the edges refused, by [reason](operations.md#what-is-refused); limits by the name of "
        "their setting. Alert on what should not happen in your house: `origin`, "
        "`unauthenticated`, `full`, the limits.",
        ("reason",)),
    Metric("auth_failures", "counter",
        "Credentials that were not believed: `missing`, `malformed`, `expired`, `signature` (or an "
        "unknown key of it), `claims`, `key` (unknown or revoked), `ticket`.", ("kind",)),
    Metric("closed", "counter",
        "Sessions that have ended, by the reason that the device was told; `left` if it was told "
        "none: it went by itself, or its poll was answered.", ("reason",)),
    # --- Deliveries ---
    Metric("publish_seconds", "histogram",
        "From the moment in which a node took a post or a change to its answer: it is durable. By "
        "the way on which it came: `http`, `batch`, `websocket`, `broker`.", ("via",)),
    Metric("publish_push_seconds", "histogram",
        "From the same moment to the push: on the node that took it (`local`), on another one that "
        "heard of it (`bus`), or by a look into the store (`store`), if there was no room before "
        "or the news was lost. Devices that were away are not timed, nor are schedules, nor topics "
        "on other nodes. Alert when one push of a hundred takes longer than a second.",
        ("path",)),
    Metric("publish_ack_seconds", "histogram",
        "From the same moment to a device's acknowledgment, resends and absences included.",
        ("transport",)),
    Metric("pushes", "counter", "Pushes that were handed to a transport for the first time.",
        ("transport",)),
    Metric("resends", "counter",
        "Pushes that were sent again: the device had not answered (`unanswered`), or had "
        "`refused`.",
        ("cause",)),
    Metric("acks", "counter",
        "Answers of devices: `acknowledged`, or `refused` (a nack).", ("outcome",)),
    Metric("dead_letters", "counter",
        "Pushes that this node has given up: the device had refused, or never answered.",
        ("cause",)),
    Metric("trace_spans", "counter",
        "Spans, with `trace_url`: `exported`, `dropped` (more than `trace_spans_max`, or no room), "
        "`failed` (the collector did not take them).", ("outcome",)),
    # --- The store ---
    Metric("store_available", "gauge", "1 while the store works. Alert when it is 0 for a minute."),
    Metric("store_failures", "counter",
        "Times that the store could not be used, attempts to get it back included."),
    Metric("store_transactions", "counter", "Write transactions committed."),
    Metric("store_commands", "counter",
        "Commands in those transactions; divided by the transactions, how large groups are."),
    Metric("store_seconds", "counter",
        "Seconds spent waiting for those transactions; divided by the transactions, how slow the "
        "store is."),
    Metric("store_transaction_seconds", "histogram",
        "The time of each: writes from begin to commit, reads by the batch.", ("kind",)),
    Metric("store_group_commands", "histogram", "Commands that were committed together."),
    Metric("store_statements", "counter", "Statements run for both, each for many rows."),
    Metric("store_reads", "counter", "Read batches answered."),
    Metric("store_queries", "counter", "Queries in those batches."),
    # --- The bus ---
    Metric("bus_available", "gauge",
        "1 while this node hears the cluster; always 1 without `redis`. Alert when it is 0 for a "
        "minute."),
    Metric("bus_nodes", "gauge",
        "Other nodes that are heard. Alert when it is fewer than there should be."),
    Metric("bus_seconds", "histogram",
        "From this node's own sign of life to hearing it again, once a second, by one clock."),
    Metric("bus_said", "counter", "Envelopes said to other nodes."),
    Metric("bus_heard", "counter", "Envelopes heard from other nodes."),
    Metric("bus_dropped", "counter",
        "Envelopes that there was no room to say; their receivers reconcile."),
    Metric("bus_unreadable", "counter",
        "Envelopes that this release cannot read: another release speaks."),
    Metric("bus_gaps", "counter",
        "Times that something may have gone unheard, which was then looked for."),
    Metric("bus_failures", "counter", "Times that the bus could not be used."),
    Metric("bus_losses", "counter", "Times that this node became deaf."),
    Metric("bus_reconciliations", "counter",
        "Looks into the store for changes that this node was not told."),
    Metric("bus_found", "counter",
        "Users whose log was further than this node was told. Grows while the bus is lost; in good "
        "times it should stand still."),
    Metric("bus_held_seconds", "gauge",
        "For how long a transaction has been open in the database, so that each look reads the "
        "same footprints again. Alert when it is more than a minute."),
    Metric("redis_refused", "counter",
        "Things found in Redis that no node of this cluster has put there; see "
        "[Redis is not trusted](operations.md#redis-is-not-trusted). Alert on any outside of an "
        "upgrade.",
        ("what", "reason")),
    # --- The spool, with `redis` ---
    Metric("spool_available", "gauge", "1 while the spool can be used."),
    Metric("spool_entries", "gauge",
        "What waits for the store, of all nodes, at the last look. Alert when it does not fall "
        "while the store works."),
    Metric("spool_spooled", "counter", "Posts and changes written to the spool by this node."),
    Metric("spool_drained", "counter", "Entries that this node brought to the store."),
    Metric("spool_repeated", "counter", "Of these, known to the store already."),
    Metric("spool_expired", "counter", "Of these, expired while they waited."),
    Metric("spool_moot", "counter", "Of these, changes of what is no more."),
    Metric("spool_poisoned", "counter",
        "Entries that can never be stored, kept aside; see "
        "[below](operations.md#what-could-not-be-stored)."),
    # --- Connectors, where there are any ---
    Metric("ingest_state", "gauge",
        "1 for the state that the connector is in on this node. Alert on `away`, `refused` and "
        "`failed`; `tocsin connector list` says why.", ("connector", "state")),
    Metric("ingest_lag", "gauge",
        "Messages that wait in the broker, as that counts them. Alert when it grows.",
        ("connector",)),
    Metric("ingest_taken", "counter", "Messages that this node took.", ("connector",)),
    Metric("ingest_accepted", "counter", "Of these, stored.", ("connector",)),
    Metric("ingest_replayed", "counter",
        "Of these, known to the store already: their broker delivered them again.",
        ("connector",)),
    Metric("ingest_refused", "counter",
        "Of these, made dead letters. Alert on any that you do not know.", ("connector",)),
    Metric("ingest_unkeyed", "counter",
        "Of these, without a key: such a message may be posted twice.", ("connector",)),
    Metric("ingest_seconds", "counter", "Seconds spent on batches.", ("connector",)),
    Metric("ingest_loop_faults", "counter",
        "Exceptions in the connector's asyncio loop that no task has collected.",
        ("connector",)),
    # --- Channels to people, where there are any ---
    Metric("channel_available", "gauge",
        "1 while the channel works, as far as this node knows. Alert when it is 0 for ten minutes; "
        "`tocsin channel list` says why.", ("channel",)),
    Metric("escalations_done", "counter", "Steps of plans that this node has gone over."),
    Metric("escalations_sends", "counter", "Sends that this node has made of them."),
    Metric("escalations_late_seconds", "gauge",
        "By how much the last step was late. Alert when it is beyond a minute."),
    Metric("sends", "counter",
        "Sends by channel, and what became of them on this node: `sent`, `retry`, `put off`, "
        "`moot`, `off`, `waiting` (quiet hours), `dead`.", ("channel", "outcome")),
    Metric("sends_waiting", "gauge",
        "Sends that wait, on all nodes, at the last look.", ("channel",)),
    Metric("send_seconds", "counter", "Seconds spent carrying.", ("channel",)),
    Metric("addresses_dead", "counter",
        "Addresses that `failed`, or are `gone`.", ("channel", "reason")),
    # --- Webhooks, on the node that has their lease ---
    Metric("sinks_disabled", "gauge",
        "Sinks that failed for `sink_disable_after`, or whose receiver said 410. Alert when it "
        "is not 0: nothing is carried to them until they are enabled."),
    Metric("sink_batches", "counter", "Batches that a sink took.", ("sink",)),
    Metric("sink_failures", "counter", "Batches that it did not take.", ("sink",)),
    Metric("sink_letters", "counter",
        "Receipts that it refused while it took their neighbours.", ("sink",)),
    Metric("sink_behind", "gauge",
        "Places of the receipts' log ahead of it, at the last look.", ("sink",)),
)  # fmt: skip


def table() -> str:
    """The table of docs/observing.md."""
    rows = [f"| `{_with_labels(each)}` | {each.kind} | {each.about} |" for each in METRICS]
    head = ["| metric | kind | what it is, and when to act |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _with_labels(metric: Metric) -> str:
    labels = ",".join(metric.labels)
    return metric.full_name + (f"{{{labels}}}" if labels else "")


BY_NAME: Final = {metric.name: metric for metric in METRICS}
