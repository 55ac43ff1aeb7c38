"""Calls of aiokafka from Trio, in time, with errors that say whose matter they are."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import trio
import trio_asyncio
from aiokafka import errors
from aiokafka.conn import create_conn

from tocsin.persistence.brokers.tls import tls_of
from tocsin.persistence.brokers.wording import described
from tocsin.persistence.source import SourceAway, SourceRefused

T = TypeVar("T")

_START_TIMEOUT: Final = 15.0
"""Seconds to find the brokers and what topics there are."""
TIMEOUT: Final = 15.0
"""Seconds for an answer of the brokers, beyond the wait that was asked for."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds for leaving the group in order; without it, the session has to time out."""
_REQUEST_MS: Final = 10_000
"""Milliseconds for one request of aiokafka's own."""
_METADATA_MS: Final = 10_000
"""Milliseconds after which topics and partitions are looked up anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaBrokers:
    """The brokers to begin with (*servers*, host and port each), and how they are talked to.

    *security* is the protocol's name in Kafka; *sasl* the mechanism, or empty. *ca_file* names an
    authority's certificate, if it is none that the system knows.
    """

    servers: tuple[str, ...]
    security: str = "PLAINTEXT"
    sasl: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None

    def options(self) -> dict[str, Any]:
        """The arguments of a client of aiokafka. Raises `SourceRefused` for a *ca_file* that cannot
        be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "security_protocol": self.security,
            "request_timeout_ms": _REQUEST_MS,
            "metadata_max_age_ms": _METADATA_MS,
        }
        if self.security.endswith("SSL"):
            options["ssl_context"] = tls_of(self.ca_file)
        if self.sasl:
            options |= {
                "sasl_mechanism": self.sasl,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return options


async def start(starting: Callable[[], Awaitable[object]], brokers: KafkaBrokers) -> None:
    """Connect a client of *brokers* by *starting*, its method. Cancelled, that has a moment to come
    to its end: aiokafka leaves sockets open that it was opening.
    """
    started = trio.Event()
    scope = trio.CancelScope(shield=True)

    async def begin() -> None:
        with scope, in_time(_START_TIMEOUT):
            try:
                await answered(starting)
            except SourceAway:
                await answered(_knock, brokers)
                raise
        started.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(begin)
        try:
            await started.wait()
        finally:
            scope.deadline = trio.current_time() + CLOSE_TIMEOUT


async def _knock(brokers: KafkaBrokers) -> None:
    """Raise what connecting to each of *brokers* raises: a client that finds none says no more than
    that, also where the password or the certificate is wrong.
    """
    options = brokers.options()
    for server in options.pop("bootstrap_servers"):
        host, _, port = server.rpartition(":")
        connection = await create_conn(
            host.strip("[]"),
            int(port),
            **{name: options[name] for name in options if name != "metadata_max_age_ms"},
        )
        connection.close()


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Raise `SourceAway` if the block takes longer than *seconds*."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise SourceAway(f"the brokers did not answer within {seconds:g} s") from None


_REFUSALS: Final = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.UnknownTopicOrPartitionError,
    errors.UnsupportedCodecError,
    errors.CorruptRecordException,
    errors.InvalidTopicError,
    ssl.SSLError,
)
"""Errors that an operator has to mend."""


async def answered(call: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
    """The answer to *call* of aiokafka, from Trio. Raises `SourceAway` and `SourceRefused`.

    Cancelled, what was asked for may have been done.
    """
    try:
        answer: T = await trio_asyncio.aio_as_trio(call)(*arguments, **options)
    except _REFUSALS as error:
        raise SourceRefused(described(error)) from error
    except (errors.KafkaError, OSError) as error:
        raise SourceAway(described(error)) from error
    return answer
