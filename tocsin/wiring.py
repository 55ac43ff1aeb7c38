"""From the settings to the parts of a node: the only module that knows both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from tocsin import __version__
from tocsin.actors.delivery.surroundings import DeliverySettings
from tocsin.actors.escalation.configured import ChannelTerms, ConfiguredChannels
from tocsin.actors.publishing.scheduler import Upkeep
from tocsin.actors.world import World
from tocsin.outbound.client import GuardedClient
from tocsin.outbound.tls import client_context
from tocsin.persistence.bus import Bus, BusRefusals, Presence, Spool
from tocsin.persistence.store import Store
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.channels.unsubscribing import Unsubscription, unsubscribe_token
from tocsin.protocol.cluster.seals import Purpose, Seals
from tocsin.protocol.delivery.terms import SEEN_INTERVAL, SessionLimits
from tocsin.protocol.outbound import OutboundPort
from tocsin.protocol.secret_box import SecretBox
from tocsin.server.admission.limits import LimitFigures
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.auth.verification_key import keys_from_pem
from tocsin.server.http.limits import HttpLimits
from tocsin.server.services import EdgeSettings
from tocsin.settings import Settings
from tocsin.settings.channel_tables import (
    AnyChannelTable,
    AppriseTable,
    EmailTable,
    WebhookTable,
    WebPushTable,
    escalation_rules,
)
from tocsin.settings.setting import SettingProblem, SettingsError

if TYPE_CHECKING:
    from tocsin.actors.tracing.exporter import SpanExporter
    from tocsin.actors.tracing.traced import TracedTiming
    from tocsin.carriers.otlp import OtlpHttp

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
"""The usual port of a mail server, by how it is reached (RFC 8314)."""
NOTES_IN_RETENTION: Final = 4
"""Notes that a connected device was seen, in the time after which the store forgets a device."""


def make_outbound(settings: Settings) -> GuardedClient:
    """The client for requests to destinations that users name; nothing is connected yet."""
    return GuardedClient(settings.outbound_allow, http_allowed=settings.webhook_http == "on")


@dataclass(frozen=True, slots=True)
class ClusterPorts:
    """The ports that join a node to others; *aclose* closes them all and never raises.

    The *seals* know the nodes' secret from the store's first opening on; the *refusals* count the
    values found in Redis that this cluster did not write.
    """

    bus: Bus
    presence: Presence
    spool: Spool
    aclose: Callable[[], Awaitable[None]]
    seals: Seals = field(default_factory=Seals)
    refusals: BusRefusals = field(default_factory=BusRefusals)

    def learn_secret(self, store: Store, available: bool) -> None:
        """Take the nodes' secret from *store*, if that is there: without it no node is heard."""
        if available:
            self.seals.learn(store.secret)


def make_cluster(settings: Settings, world: World) -> ClusterPorts | None:
    """The ports to the Redis that `redis` names, or `None`; nothing is connected yet.

    They need a `trio_asyncio` loop around them.
    """
    if settings.redis is None:
        return None
    # Imported only when needed, as the store is.
    from tocsin.persistence.redis.bus import RedisBus
    from tocsin.persistence.redis.client import RedisClient
    from tocsin.persistence.redis.presence import RedisPresence
    from tocsin.persistence.redis.spool import RedisSpool

    client = RedisClient(
        settings.redis, prefix=settings.redis_prefix, timeout=settings.redis_timeout
    )
    seals = Seals(client.place)
    return ClusterPorts(
        RedisBus(client),
        RedisPresence(client, seals[Purpose.PRESENCE]),
        RedisSpool(client, seals, world.now_ms, settings.idempotency_retention),
        client.aclose,
        seals,
        client.refusals,
    )


def make_channels(
    settings: Settings, world: World, outbound: OutboundPort, secret: Callable[[], str]
) -> ConfiguredChannels:
    """The channels that the settings name; nothing is connected yet.

    *secret* gives the secret of the nodes, once the store was open. Raises `SettingsError`.
    """
    box = SecretBox(settings.secrets_key, world.entropy)
    if not settings.channels:
        return ConfiguredChannels(box=box)
    rules = escalation_rules(settings.channels, settings.escalations)
    terms = [_terms(each, settings, world, outbound, secret) for each in settings.channels]
    return ConfiguredChannels(terms, rules, box)


def _terms(
    table: AnyChannelTable,
    settings: Settings,
    world: World,
    outbound: OutboundPort,
    secret: Callable[[], str],
) -> ChannelTerms:
    match table:
        case EmailTable():
            return _email(table, settings.public_url, secret)
        case WebPushTable():
            return _webpush(table, settings, world, outbound)
        case WebhookTable():
            return _webhook(table, outbound)
        case AppriseTable():
            return _apprise(table)
        case _:
            assert_never(table)


def _email(table: EmailTable, public_url: str | None, secret: Callable[[], str]) -> ChannelTerms:
    # Imported only when needed: a node imports the carriers that it uses.
    from tocsin.carriers.mail import MailTemplates, Postmark
    from tocsin.carriers.smtp import MailServer, SmtpCarrier, checked_mail_address

    def unsubscribe(user: str, category: str) -> str | None:
        if public_url is None:
            return None
        token = unsubscribe_token(secret(), Unsubscription(user, table.name, category))
        return f"{public_url}/v1/unsubscribe/{token}"

    try:
        tls = client_context(table.ca_file)
        templates = MailTemplates(None if table.templates is None else Path(table.templates))
    except (OSError, ValueError) as error:
        wrong = f"has a channel {table.name} that cannot be used: {error}"
        raise SettingsError(
            SettingProblem(("channels",), wrong, "correct its ca_file or its templates")
        ) from error
    port = table.port or _PORTS[table.security]
    server = MailServer(table.host, port, table.security, tls, table.user, table.password)
    postmark = Postmark(table.sender, templates, unsubscribe)
    carrier = SmtpCarrier(server, postmark, table.concurrency)
    return ChannelTerms(table.name, "email", table.concurrency, carrier, checked_mail_address)


def _webpush(
    table: WebPushTable, settings: Settings, world: World, outbound: OutboundPort
) -> ChannelTerms:
    from tocsin.carriers.webpush import WebPushCarrier, checked_subscription

    key, contact = settings.vapid_private_key, settings.vapid_contact
    assert key is not None, "the settings are checked"
    assert contact is not None, "the settings are checked"
    carrier = WebPushCarrier(outbound, key, contact, world.entropy)
    return ChannelTerms(
        table.name,
        "webpush",
        table.concurrency,
        carrier,
        checked_subscription,
        by_user=True,
        key=carrier.key,
    )


def _webhook(table: WebhookTable, outbound: OutboundPort) -> ChannelTerms:
    from tocsin.carriers.webhook import WebhookCarrier, checked_address

    carrier = WebhookCarrier(outbound, table.url, table.secret)
    return ChannelTerms(table.name, "webhook", table.concurrency, carrier, checked_address)


def _apprise(table: AppriseTable) -> ChannelTerms:
    try:
        from tocsin.carriers.chat import AppriseCarrier, checked_chat_address
    except ImportError as error:
        wrong = f"has a channel {table.name} that cannot be used: {error}"
        remedy = "install tocsin[apprise], or take the channel out"
        raise SettingsError(SettingProblem(("channels",), wrong, remedy)) from error
    carrier = AppriseCarrier(table.url, table.concurrency)
    return ChannelTerms(table.name, "apprise", table.concurrency, carrier, checked_chat_address)


def delivery_settings(settings: Settings) -> DeliverySettings:
    """The settings of the user actors."""
    assert settings.node is not None, "the node is named before it is started"
    return DeliverySettings(
        node=settings.node,
        limits=SessionLimits(
            window=settings.window,
            window_bytes=_window_bytes(settings),
            resend=Backoff(settings.resend_delay, settings.resend_delay_max),
            resend_limit=settings.resend_limit,
            delivery_attempts_max=settings.delivery_attempts_max,
        ),
        heartbeat=settings.heartbeat,
        devices_max=settings.user_devices_max,
        devices_known_max=settings.user_devices_known_max,
        # Several notes within the time after which the store forgets a device.
        seen_interval=min(SEEN_INTERVAL, max(1.0, settings.retention / NOTES_IN_RETENTION)),
    )


def _window_bytes(settings: Settings) -> int:
    # A whole window may be sent at once, and then sent again: the buffer of a healthy device must
    # have room for both.
    return settings.outbound_bytes_max // 4


def upkeep(settings: Settings) -> Upkeep:
    """The settings of the scheduler."""
    return Upkeep(
        idempotency=settings.idempotency_retention,
        notifications=settings.retention,
        archived=settings.retention_archived,
        expired=settings.retention_expired,
        dead_letters=settings.expired_letters == "dead",
        receipts=settings.receipt_retention,
    )


def edge_settings(settings: Settings) -> EdgeSettings:
    """The settings of the edges."""
    assert settings.node is not None, "the node is named before it is started"
    return EdgeSettings(
        node=settings.node,
        store="postgres" if settings.sqlite_path is None else "sqlite",
        origins=settings.origins,
        access_log=settings.access_log == "on",
        window=settings.window,
        window_bytes=_window_bytes(settings),
        heartbeat=settings.heartbeat,
        hello_timeout=settings.hello_timeout,
        frame_bytes_max=settings.frame_bytes_max,
        frames_per_second_max=settings.frames_per_second_max,
        frame_bytes_per_second_max=settings.frame_bytes_per_second_max,
        body_bytes_max=settings.body_bytes_max,
        batch_bytes_max=settings.batch_bytes_max,
        outbound_bytes_max=settings.outbound_bytes_max,
        ticket_lifetime=settings.ticket_lifetime,
        stream_ticket_lifetime=settings.stream_ticket_lifetime,
        poll_wait_max=settings.poll_wait_max,
        user_tickets_max=settings.user_tickets_max,
        store_timeout=settings.store_timeout,
        # A node that has made its own JWT secret serves this machine only, so it may tell every
        # client where its data are.
        data_told=None if settings.has_jwt else str(settings.data.absolute()),
    )


def make_tracing(settings: Settings, world: World) -> Tracing | None:
    """Timing that makes spans, and the way of these to the collector; `None` without `trace_url`.

    Imported where a setting asks for it.
    """
    if settings.trace_url is None:
        return None
    from tocsin.actors.tracing.traced import TracedTiming
    from tocsin.actors.tracing.tracer import Tracer
    from tocsin.carriers.otlp import OtlpHttp

    tracer = Tracer(world, every=settings.trace_every, spans_per_second=settings.trace_spans_max)
    return Tracing(TracedTiming(tracer), OtlpHttp(settings.trace_url))


@dataclass(frozen=True, slots=True)
class Tracing:
    """The parts of a node that is traced."""

    timing: TracedTiming
    collector: OtlpHttp

    def exporter(self, node: str) -> SpanExporter:
        """A new incarnation of the exporter."""
        from tocsin.actors.tracing.exporter import SpanExporter

        resource = {
            "service.name": "tocsin",
            "service.version": __version__,
            "service.instance.id": node,
        }
        return SpanExporter(self.timing, self.collector.send, resource)


def limit_figures(settings: Settings) -> LimitFigures:
    """The shares of one address, and of one credential."""
    return LimitFigures(
        peer_connections_max=settings.peer_connections,
        peer_requests_max=settings.peer_requests_max,
        peer_body_bytes_max=settings.peer_body_bytes_max,
        peer_rate=settings.peer_rate,
        credential_requests_max=settings.credential_requests_max,
        credential_body_bytes_max=settings.credential_body_bytes_max,
        credential_rate=settings.credential_rate,
        rate_window=settings.rate_window,
    )


def http_limits(settings: Settings) -> HttpLimits:
    """The limits of the HTTP host."""
    return HttpLimits(body_timeout=settings.request_timeout)


def token_verifier(settings: Settings, jwt_secret: str | None) -> TokenVerifier | None:
    """The verifier of JWTs that the settings ask for; *jwt_secret* may be a generated one.

    `None` if they name no key at all. Raises `AuthConfigurationError` for a key that is unusable.
    """
    pem, jwks_url = settings.jwt_public_key, settings.jwks_url
    if jwt_secret is None and pem is None and jwks_url is None:
        return None
    key_set = None
    if jwks_url is not None:
        from tocsin.server.auth.jwks import KeySet

        key_set = KeySet(jwks_url)
    return TokenVerifier(
        secret=jwt_secret,
        public_keys=() if pem is None else keys_from_pem(pem),
        key_set=key_set,
        audience=settings.audience,
        issuer=settings.jwt_issuer,
        user_claim=settings.user_claim,
    )
