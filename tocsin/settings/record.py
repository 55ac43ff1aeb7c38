"""Each setting with its default, its unit, its bounds and the reason for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from tocsin.settings.channel_tables import (
    CHANNELS,
    ESCALATIONS,
    PUBLIC_URL,
    VAPID_CONTACT,
    VAPID_KEY,
    AnyChannelTable,
    PolicyTable,
)
from tocsin.settings.connectors import CONNECTORS, ConnectorTable
from tocsin.settings.kinds import (
    AUDIENCE,
    CLAIM,
    COLLECTOR,
    COUNT,
    DATABASE,
    DURATION,
    HOSTS,
    JWKS_URL,
    NETWORKS,
    ORIGINS,
    PATH,
    PUBLIC_KEY,
    REDIS,
    SECRET,
    SECRETS_KEYS,
    SIZE,
    TEXT,
    Explicit,
    Network,
    choice,
    is_loopback,
)
from tocsin.settings.setting import setting
from tocsin.settings.sinks import SINKS, SinkTable

MILLISECOND, MINUTE, HOUR, DAY = 0.001, 60.0, 3600.0, 86400.0  # in seconds
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30  # in bytes

# Three looks of a balancer that looks twice a second, and a margin.
DRAIN_NOTICE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRecord:
    """The settings of one node, as they are written; see `tocsin.settings.Settings`."""

    # A table is easier to read as one: default, kind, why it is there, least, most.
    # fmt: off

    # Where it listens and what it keeps
    host: tuple[str, ...] = setting(("127.0.0.1",), HOSTS,
        "Addresses to listen on, separated by commas, all on `port`. Only this machine by default: "
        "what is open to the network should be so because somebody decided it. `0.0.0.0` is every "
        "IPv4 address of the machine, `::` every address of both families.")
    port: int = setting(8080, COUNT,
        "Port for everything: HTTP, WebSocket and SSE. 0 takes any free one.", 0, 65535)
    metrics_port: int | None = setting(None, COUNT,
        "Port of its own for `/metrics`, without credentials, for a network that only the "
        "monitoring reaches. Without it, `/metrics` is on `port` and needs the admin scope. "
        "0 takes any free one. With `workers`, the first of as many ports.", 0, 65535)
    data: Path = setting(Path("tocsin-data"), PATH,  # noqa: RUF009 (a Path never changes)
        "Directory for what the server keeps itself: the SQLite file and development secrets.")
    database: str | None = setting(None, DATABASE,
        "Where notifications live: `postgres://…`, `postgresql://…` or `sqlite:///path` (four "
        "slashes for an absolute path). Without it, the file `tocsin.db` in `data`. What the "
        "address of a Postgres may say, hosts and options, is in postgres.md.")
    redis: str | None = setting(None, REDIS,
        "Redis that joins nodes to a cluster: `redis://` or `rediss://` (TLS), with password and "
        "database number. Nodes share one Postgres as well.")
    redis_prefix: str = setting("tocsin:", TEXT,
        "What keys and channels in Redis begin with: nodes of a cluster have it in common, and "
        "share it with nothing else on that server.")
    redis_timeout: float = setting(2.0, DURATION,
        "Longest wait for Redis before it counts as away. It answers within a millisecond or is "
        "in trouble, and what waits for it could go another way.", 10 * MILLISECOND, 30.0)
    workers: int = setting(1, COUNT,
        "Server processes on this machine, which share `port`; each is a node of the cluster, so "
        "more than one needs Postgres and `redis`. About one for each core.", 1, 1024)
    node: str | None = setting(None, TEXT,
        "Name of this node in logs and in `welcome`. Without it, the host's name and a random "
        "part, new at each start, so that two nodes never share one. Workers add their number.")
    pool_size: int = setting(4, COUNT,
        "Postgres connections. Writes are committed in groups, so a few carry thousands of "
        "notifications a second; more only take connections from others.", 1, 100)

    # Clients that may connect
    origins: tuple[str, ...] = setting((), ORIGINS,
        "Web origins whose pages may connect and use the HTTP API, separated by commas. None "
        "named: only pages that come from this server's own address.")
    forwarded_from: tuple[Network, ...] = setting((), NETWORKS,
        "Addresses and networks of the proxies in front, separated by commas: their `Forwarded` "
        "and `X-Forwarded-For` are believed. From anybody else these are anybody's words.")
    jwt_secret: str | None = setting(None, SECRET,
        "Shared secret that signs user tokens (HS256), 32 bytes or more unless only this machine "
        "can reach the server: `host` is loopback, and neither a proxy (`forwarded_from`) nor a "
        "page of another machine (`origins`) is told of. With no JWT setting at all, a development "
        "secret is made in `data`, and only loopback addresses are served, without a proxy.")
    jwt_public_key: str | None = setting(None, PUBLIC_KEY,
        "Public key (PEM) that verifies user tokens (RS256, ES256, EdDSA): a file or its text.")
    jwks_url: str | None = setting(None, JWKS_URL,
        "Address of the identity provider's key set; keys are cached and follow its rotation.")
    jwt_audience: str | Explicit | None = setting(None, AUDIENCE,  # noqa: RUF009 (a word never changes)
        "`aud` that tokens must carry. Not given, `aud` is not checked; with `jwks_url` that has "
        "to be said: `none`. A provider signs for all its customers or applications with the same "
        "keys, and without this each of their tokens opens an inbox here.")
    jwt_issuer: str | None = setting(None, TEXT,
        "`iss` that tokens must carry. Without it, `iss` is not checked.")
    user_claim: str = setting("sub", CLAIM,
        "Claim that holds the user's id: one name at the top of the token, also where it looks "
        "like a path or a URL. Only one that the provider gives to nobody twice, and that users "
        "cannot change.")
    ticket_lifetime: float = setting(30.0, DURATION,
        "How long a ticket for a URL may wait to be used. URLs end up in logs, so: just long "
        "enough to open a connection.", 10 * MILLISECOND, HOUR)

    stream_ticket_lifetime: float = setting(DAY, DURATION,
        "How long the ticket of a stream lets its device come back, if the token behind it lasts "
        "as long. It is a credential in a URL all the while: as short as users stay on a page.",
        1.0, 30 * DAY)

    # Delivery
    resend_delay: float = setting(10.0, DURATION,
        "Wait for a device's ack before the first resend; doubles with every attempt.",
        10 * MILLISECOND, HOUR)
    resend_delay_max: float = setting(60.0, DURATION,
        "Longest wait between two attempts, also where `resend_delay` is longer.",
        10 * MILLISECOND, DAY)
    resend_limit: int = setting(5, COUNT,
        "Attempts of one push in one session; then the connection is closed as `unresponsive` "
        "and the log keeps the push for the next session.", 1, 1000)
    delivery_attempts_max: int = setting(20, COUNT,
        "Attempts of one notification on one device over all sessions; then it is a dead letter "
        "for that device, so that one poison notification never blocks a log.", 1, 1_000_000)
    window: int = setting(64, COUNT,
        "Pushes that may be unacknowledged in a session, unless its `hello` says otherwise. "
        "Further ones wait in the log, not in memory.", 1, 1024)
    ledger_linger: float = setting(0.05, DURATION,
        "How long the record of a sent push may wait for its ack, so that both are written at "
        "once. Most acks come sooner, which halves the ledger's writes.", 0, 10.0)
    retention: float = setting(90 * DAY, DURATION,
        "How long notifications are kept after they were delivered or last changed. A device that "
        "was away longer gets `reset`.",
        1.0, 3650 * DAY)
    retention_archived: float = setting(30 * DAY, DURATION,
        "How long archived notifications are kept, from when they were archived.",
        1.0, 3650 * DAY)
    retention_expired: float = setting(7 * DAY, DURATION,
        "How long expired notifications are kept, for their producers to ask about.",
        1.0, 3650 * DAY)
    expired_letters: Literal["dead", "none"] = setting("dead", choice("dead", "none"),
        "What becomes of a notification that expired before any device had it: a dead letter, "
        "which can be replayed, or nothing but a count.")
    idempotency_retention: float = setting(DAY, DURATION,
        "How long the answer to an `Idempotency-Key` is kept: longer than any producer retries.",
        1.0, 365 * DAY)

    # Brokers
    connectors: tuple[ConnectorTable, ...] = setting((), CONNECTORS,
        "Brokers from which notifications are taken: a table `[connectors.NAME]` each in the "
        "settings file, or all of them as JSON. See connectors.md for the keys of each kind.")
    ingest_retention: float = setting(7 * DAY, DURATION,
        "How long the key of a message that a connector took is kept, at least "
        "`idempotency_retention`: longer than the longest outage after which its broker delivers "
        "it again.",
        1.0, 365 * DAY)

    sinks: tuple[SinkTable, ...] = setting((), SINKS,
        "Brokers to which receipts are carried: a table `[sinks.NAME]` each in the settings file, "
        "or all of them as JSON. See connections.md for the keys of each kind.")

    # Connections
    hello_timeout: float = setting(10.0, DURATION,
        "Wait for the first frame. Until then a connection costs memory and has proved nothing.",
        10 * MILLISECOND, 5 * MINUTE)
    heartbeat: float = setting(25.0, DURATION,
        "Silence before the server pings. Proxies cut idle connections after 30 to 60 s.",
        10 * MILLISECOND, 5 * MINUTE)
    poll_wait_max: float = setting(50.0, DURATION,
        "Longest that a long poll waits, whatever it asks for: less than the 60 s after which "
        "proxies give up an answer. nginx counts that against the node, and soon answers 502 to "
        "everybody.",
        10 * MILLISECOND, MINUTE)
    connections_max: int = setting(20_000, COUNT,
        "Connections on this node; further ones are told `overloaded`. An idle one costs about "
        "20 KiB, so the default fits in half a gigabyte.", 1, 1_000_000)
    peer_connections_max: int | None = setting(None, COUNT,
        "Connections from one address (IPv6: one /64); further ones are refused. Without it, a "
        "quarter of `connections_max`: enough for all phones behind one NAT, and nobody can take "
        "every place. Loopback addresses and trusted proxies have no limits as addresses.",
        1, 1_000_000)
    peer_requests_max: int = setting(2048, COUNT,
        "Requests under way from one address; further ones are answered with 429. Streams and "
        "polls that wait are connections, and do not count here.", 1, 1_000_000)
    peer_body_bytes_max: int = setting(32 * MIB, SIZE,
        "Bytes of request bodies under way from one address, at least `batch_bytes_max`; more is "
        "answered with 429. This much memory a peer can make a node hold.", 256, 16 * GIB)
    peer_rate: int = setting(5000, COUNT,
        "Requests a second from one address; more is answered with 429. About what a core can do: "
        "a producer may post thousands, and a flood is refused before it costs more than a head.",
        1, 1_000_000)
    credential_requests_max: int = setting(2048, COUNT,
        "Requests under way with one credential (an API key, or a user's tokens); as for "
        "addresses. A producer that posts 5 000 a second to a store that takes 0.2 s has 1 000.",
        1, 1_000_000)
    credential_body_bytes_max: int = setting(32 * MIB, SIZE,
        "Bytes of request bodies under way with one credential; as for addresses.", 256, 16 * GIB)
    credential_rate: int = setting(5000, COUNT,
        "Requests a second with one credential; as for addresses.", 1, 1_000_000)
    rate_window: float = setting(5.0, DURATION,
        "How many seconds' worth of `peer_rate` and `credential_rate` may come at once: clients "
        "start together after an outage, and are to be paced, not punished.", 1.0, HOUR)
    user_devices_max: int = setting(32, COUNT,
        "Sessions of one user at a time: nobody owns more devices, but a client that invents a "
        "device name on each connect would. Of devices that the server had to name, as many are "
        "remembered.", 1, 10_000)
    user_devices_known_max: int = setting(256, COUNT,
        "Devices of one user that are remembered, of those that have a name of their own. With so "
        "many a new name is refused until one is removed (`DELETE /v1/me/devices/{device}`): a "
        "client that invents names would fill the database.", 1, 100_000)
    user_tickets_max: int = setting(64, COUNT,
        "Tickets of one user. For one more, the oldest of a stream is forgotten; where all wait to "
        "open their one connection, for `ticket_lifetime`, the answer is `409`.", 1, 100_000)
    frame_bytes_max: int = setting(64 * KIB, SIZE,
        "Largest frame that a client may send, and largest message in fragments: an ack of 1024 "
        "ids has 40 KiB. Before its hello, 16 KiB at most.", 256, MIB)
    frames_per_second_max: int = setting(200, COUNT,
        "Frames a second that a device may send over its WebSocket, besides one for each push; "
        "five times as many at once. Legal clients send a few. Credentials with the scope "
        "`notify`: fifty times as many; before the hello, 32 in all.", 1, 1_000_000)
    frame_bytes_per_second_max: int = setting(MIB, SIZE,
        "Bytes a second that a device may send over its WebSocket; five times as many at once. "
        "With the scope `notify`: sixteen times as many.", 256, GIB)
    body_bytes_max: int = setting(MIB, SIZE,
        "Largest request body, but for batches. More is answered with 413.", 256, GIB)
    batch_bytes_max: int = setting(16 * MIB, SIZE,
        "Largest body of a batch: a thousand notifications.", 256, GIB)
    outbound_bytes_max: int = setting(MIB, SIZE,
        "What may wait in one connection's socket; more, and it is closed as `slow`. Bounds what "
        "a client that stops reading costs.", 4 * KIB, GIB)
    mailbox_capacity: int = setting(1024, COUNT,
        "Messages that may wait for one actor. A full mailbox is pushed back to the sender.",
        1, 1_000_000)

    # Requests that the server makes
    receipt_retention: float = setting(7 * DAY, DURATION,
        "How long receipts are kept for webhooks and readers that are behind. One that comes back "
        "later is told what it has missed.", 1.0, 365 * DAY)
    sink_disable_after: float = setting(5 * DAY, DURATION,
        "How long a webhook may do nothing but fail before it is disabled. It keeps its place, and "
        "goes on there when it is enabled.", 1.0, 365 * DAY)
    outbound_allow: tuple[Network, ...] = setting((), NETWORKS,
        "Private networks that webhooks and other destinations of users may be in, separated by "
        "commas: `10.1.0.0/16`, or `127.0.0.0/8` for this machine. None named: only addresses of "
        "the internet, so that a webhook's URL cannot reach what is beside the server. Link-local "
        "addresses and the metadata services of clouds stay closed unless they are named exactly.")
    webhook_http: Literal["off", "on"] = setting("off", choice("off", "on"),
        "Whether destinations may be `http://`: on a network that is yours alone. What is sent can "
        "be read on its way, and the signature says who sent it, not who reads it.")

    secrets_key: tuple[bytes, ...] = setting((), SECRETS_KEYS,
        "Key that seals the secrets of webhooks and the addresses of people in the database "
        "(AES-256-GCM): `openssl rand -base64 32`. Of several, separated by commas, the first "
        "seals and all open. Without one they are kept as they are. All nodes have the same; set "
        "it when all are of a release that has it, and keep it apart from backups.")

    # Channels to people whom no device has reached
    channels: tuple[AnyChannelTable, ...] = setting((), CHANNELS,
        "Ways to people other than their devices: a table for each, with its `kind` and what that "
        "needs; see channels.md. As a variable, the same in JSON.")
    escalations: tuple[PolicyTable, ...] = setting((), ESCALATIONS,
        "Policies of escalation: a table for each, with `steps`, and the `categories` that have it "
        "without naming it; see channels.md. As a variable, the same in JSON.")
    vapid_private_key: str | None = setting(None, VAPID_KEY,
        "Key that signs Web Push, from `tocsin vapid create`. Browsers are bound to it: with "
        "another one they have to subscribe anew.")
    vapid_contact: str | None = setting(None, VAPID_CONTACT,
        "Where the push services of browsers find you when your pushes do harm.")
    public_url: str | None = setting(None, PUBLIC_URL,
        "Where people reach this server, for links in mails: with it, mails can be unsubscribed "
        "from by one click.")

    # Running it
    request_timeout: float = setting(30.0, DURATION,
        "Longest time for an HTTP request, from its first byte to its answer; long polls add "
        "their `wait`.", 10 * MILLISECOND, 10 * MINUTE)
    store_timeout: float = setting(10.0, DURATION,
        "Longest wait for the store before a write is answered with 503.",
        10 * MILLISECOND, 5 * MINUTE)
    drain_notice: float | None = setting(None, DURATION,
        "First part of `drain_time`, in which a stopping node says so on `/readyz` and serves on, "
        "for the load balancer to notice: a little more than it takes to. Without it, 2 s with "
        "`redis` and none without; never more than a quarter of `drain_time`.", 0, HOUR)
    drain_time: float = setting(20.0, DURATION,
        "Time over which a stopping server says goodbye, so that not all clients reconnect at "
        "once. Keep it under what the service manager grants (Kubernetes: 30 s). 0 stops at "
        "once.", 0, HOUR)
    log_format: Literal["console", "json"] = setting("console", choice("console", "json"),
        "Log lines for people or for machines.")
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", choice("debug", "info", "warning", "error"),
        "Least severe log lines to write.")
    access_log: Literal["off", "on"] = setting("off", choice("off", "on"),
        "A line for each HTTP request that is answered: for looking into something. Off, since a "
        "busy node would write thousands a second; what is refused is seen in any case.")
    trace_url: str | None = setting(None, COLLECTOR,
        "Collector of traces, which speaks OTLP over HTTP, such as "
        "`http://collector:4318/v1/traces`. Without it there are no traces, and they cost nothing.")
    trace_every: int = setting(0, COUNT,
        "Of the posts that belong to no trace, one in so many begins one; 0 for none. Posts with a "
        "sampled `traceparent` are traced in any case.", 0, 1_000_000_000)
    trace_spans_max: int = setting(200, COUNT,
        "Spans a second, at most: a notification to a thousand devices is a thousand spans, and "
        "each takes some 30 µs to make and export.", 1, 100_000)
    # fmt: on

    @property
    def database_url(self) -> str:
        """The database's address, with the embedded default made explicit. It may hold a secret."""
        return self.database or f"sqlite:///{self.data / 'tocsin.db'}"

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, or None if the database is Postgres."""
        scheme, _, path = self.database_url.partition(":///")
        return Path(path) if scheme == "sqlite" else None

    @property
    def drain_notice_time(self) -> float:
        """Seconds between being not ready and closing the door."""
        wanted = self.drain_notice
        if wanted is None:
            wanted = 0.0 if self.redis is None else DRAIN_NOTICE
        return min(wanted, self.drain_time / 4)

    @property
    def peer_connections(self) -> int:
        """Connections from one address."""
        return self.peer_connections_max or max(1, self.connections_max // 4)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server, as far as the settings tell."""
        return all(map(is_loopback, self.host)) and not self.forwarded_from

    @property
    def audience(self) -> str | None:
        """The audience that tokens must name, or None if any will do."""
        return self.jwt_audience if isinstance(self.jwt_audience, str) else None

    @property
    def has_jwt(self) -> bool:
        """Whether anything was set that user tokens can be verified with."""
        return any((self.jwt_secret, self.jwt_public_key, self.jwks_url))

    def named(self, hostname: str, entropy: Callable[[int], bytes]) -> Self:
        """The same settings with a node name, made from the hostname if none was set."""
        if self.node is not None:
            return self
        host = re.sub(r"[^A-Za-z0-9._-]", "-", hostname)[:100] or "node"
        return replace(self, node=f"{host}-{entropy(4).hex()}")
