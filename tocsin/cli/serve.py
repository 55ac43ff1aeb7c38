"""`tocsin serve`: run a node until SIGTERM or SIGINT."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeVar

import click
import structlog
import trio
import trio_asyncio

from tocsin import __version__
from tocsin.actors.runtime import RestartLimitExceeded
from tocsin.actors.world import World, real_world
from tocsin.cli.options import Flags, load_settings, serve_options
from tocsin.logs import configure
from tocsin.node import Node
from tocsin.persistence.store import StoreFailed
from tocsin.secrets import DevelopmentSecrets, check_bind
from tocsin.server.auth import AuthConfigurationError, TokenVerifier, mint
from tocsin.server.front_door import CannotListen
from tocsin.settings import Problem, Settings, SettingsError
from tocsin.wiring import make_store, token_verifier

logger = structlog.get_logger(__name__)

# Trio makes many short-lived cycles of objects; Python's defaults then spend a third of the time
# looking for garbage among what lives for ever.
_GC_THRESHOLDS: Final = (50_000, 50, 100)
_GREETING_TOKEN_LIFETIME: Final = 86_400.0
_AUTH_SETTINGS: Final = ("jwt_secret", "jwt_public_key", "jwks_url")

E = TypeVar("E", bound=BaseException)


@click.command()
@serve_options
def serve(flags: Flags) -> None:
    """Run the server."""
    settings = load_settings(flags, os.environ)
    world = real_world()
    settings = settings.named(socket.gethostname(), world.entropy)
    secrets = DevelopmentSecrets.open(settings, world.entropy)
    check_bind(settings.host, secrets.generated)
    try:
        verifier = token_verifier(settings, secrets.jwt_secret)
    except AuthConfigurationError as error:
        raise SettingsError(
            Problem(
                ("jwt_secret", "jwt_public_key", "jwks_url"), str(error), "see docs/settings.md"
            )
        ) from error
    configure(settings.log_format, settings.log_level)
    structlog.contextvars.bind_contextvars(node=settings.node)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        trio.run(_main, settings, world, secrets, verifier)
    except* RestartLimitExceeded as group:
        # What the operator can mend is said in a sentence; a bug keeps its traceback.
        if (refused := _find(group, CannotListen)) is not None:
            raise click.ClickException(str(refused.strerror)) from None
        if (unusable := _find(group, StoreFailed)) is not None:
            raise click.ClickException(f"The store cannot be used: {unusable}") from None
        raise


async def _main(
    settings: Settings, world: World, secrets: DevelopmentSecrets, verifier: TokenVerifier | None
) -> None:
    async with AsyncExitStack() as stack:
        if settings.sqlite_path is None:
            await stack.enter_async_context(trio_asyncio.open_loop())
        node = Node(settings, make_store(settings, world), world, verifier)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_obey, signals, node, nursery.cancel_scope)
                async with trio.open_nursery() as running:
                    await running.start(node.run)
                    logger.info("listening", host=settings.host, port=node.port)
                    if settings.log_format == "console" and secrets.generated:
                        click.echo(greeting(settings, node.port, secrets, world.now_ms() / 1000))
                nursery.cancel_scope.cancel()
        logger.info("stopped")


async def _obey(signals: AsyncIterator[int], node: Node, scope: trio.CancelScope) -> None:
    """The first signal asks for an orderly stop; the second means it."""
    await anext(signals)
    node.stop()
    await anext(signals)
    scope.cancel()


def greeting(settings: Settings, port: int, secrets: DevelopmentSecrets, now: float) -> str:
    """What somebody who has just started a node for the first time may paste next."""
    assert secrets.jwt_secret is not None, "generated secrets can make tokens"
    token = mint(
        secrets.jwt_secret,
        "producer",
        {"notify"},
        now,
        _GREETING_TOKEN_LIFETIME,
        settings.jwt_issuer,
        settings.jwt_audience,
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    program = os.environ.get("_TOCSIN_PROGRAM", "tocsin")
    url = f"http://{host}:{port}"
    where = "" if url == "http://127.0.0.1:8080" else f" --url {url}"
    data = "" if settings.data == Path("tocsin-data") else f" --data {settings.data}"
    return f"""
Tocsin {__version__} listens on {url}

Listen, in one terminal:

  {program} listen ada{where}{data}

Post, in another (this token is good for a day, on this machine only):

  curl {url}/v1/notifications \\
    -H 'Authorization: Bearer {token}' \\
    -d '{{"to":{{"users":["ada"]}},"title":"Hello, Ada"}}'
"""


def _find(group: BaseException, kind: type[E]) -> E | None:
    """The first exception of *kind* among the group's members and their causes."""
    if isinstance(group, kind):
        return group
    within = list(group.exceptions) if isinstance(group, BaseExceptionGroup) else []
    if group.__cause__ is not None:
        within.append(group.__cause__)
    return next((found for inner in within if (found := _find(inner, kind)) is not None), None)
