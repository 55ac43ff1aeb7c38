"""A process that is one node: from the settings to the end, and the orders that end it.

A node of its own obeys signals: the first asks for an orderly stop, the second means it. A worker
obeys its parent over a *line*, a socket on which single bytes are orders; the end of the line says
that the parent is gone. Signals alone would not do for it: a service manager signals all processes
at once, and its signal and the parent's would count as two.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeVar

import click
import structlog
import trio

from tocsin.actors.runtime.errors import RestartLimitExceeded
from tocsin.actors.world import World, real_world
from tocsin.cli.serving.greeting import greeting, whereabouts
from tocsin.cli.trouble import as_typed
from tocsin.connecting import make_connectors
from tocsin.node import Node
from tocsin.persistence.store import StoreFailed
from tocsin.server.auth.errors import AuthConfigurationError
from tocsin.server.auth.tokens import TokenVerifier
from tocsin.server.door.front_door import CannotListen
from tocsin.settings import Settings
from tocsin.settings.secrets import DevelopmentSecrets
from tocsin.settings.setting import SettingProblem, SettingsError
from tocsin.sinks import make_sinks
from tocsin.stores import make_store
from tocsin.wiring import make_cluster, token_verifier

if TYPE_CHECKING:
    from tocsin.persistence.loop_faults import LoopFaults

logger = structlog.get_logger(__name__)

STOP: Final = b"s"
ABANDON: Final = b"a"
"""Orders on a worker's line."""

E = TypeVar("E", bound=BaseException)


def run_node(
    settings: Settings,
    secrets: DevelopmentSecrets,
    line: socket.socket | None = None,
    *,
    greets: bool = True,
    listening: Callable[[int], None] = lambda port: None,
) -> None:
    """Run a node until it is told to stop; with a *line*, as a worker.

    Raises `ClickException` for troubles that the operator can mend. *greets* says whether to print
    a greeting for people; *listening* is called with the port.
    """
    structlog.contextvars.bind_contextvars(node=settings.node)
    world, verifier = real_world(), make_verifier(settings, secrets)
    try:
        trio.run(_main, settings, world, secrets, verifier, line, greets, listening)
    except BaseExceptionGroup as group:
        # Troubles that the operator can mend become a sentence; a bug keeps its traceback. Not in
        # `except*`: an exception raised there comes out in a group, on some releases of 3.11.
        if (gave_up := group.subgroup(RestartLimitExceeded)) is None:
            raise
        if (refused := _find(gave_up, CannotListen)) is not None:
            raise click.ClickException(str(refused.strerror)) from None
        if (unusable := _find(gave_up, StoreFailed)) is not None:
            text = as_typed(f"The store cannot be used: {unusable}")
            raise click.ClickException(text) from None
        raise


def make_verifier(settings: Settings, secrets: DevelopmentSecrets) -> TokenVerifier | None:
    """The verifier of these settings; raises `SettingsError` if they cannot be used."""
    try:
        return token_verifier(settings, secrets.jwt_secret)
    except AuthConfigurationError as error:
        where = ("jwt_secret", "jwt_public_key", "jwks_url")
        raise SettingsError(SettingProblem(where, str(error), "see docs/settings.md")) from error


async def _main(
    settings: Settings,
    world: World,
    secrets: DevelopmentSecrets,
    verifier: TokenVerifier | None,
    line: socket.socket | None,
    greets: bool,
    listening: Callable[[int], None],
) -> None:
    async with AsyncExitStack() as stack:
        faults: LoopFaults | None = None
        if settings.sqlite_path is None:
            # Imported only when needed, as the stores and buses that run in it are.
            from tocsin.persistence.asyncio_loop import open_asyncio_loop

            faults = await stack.enter_async_context(open_asyncio_loop())
        node = Node(
            settings,
            make_store(settings, world),
            world,
            verifier,
            shares_port=line is not None,
            ports=make_cluster(settings, world),
            loop_faults=lambda: 0 if faults is None else faults.count,
            connectors=make_connectors(settings),
            sinks=make_sinks(settings),
        )
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                if line is None:
                    nursery.start_soon(_obey, signals, node, nursery.cancel_scope)
                else:
                    nursery.start_soon(_obey_patiently, signals, node)
                    nursery.start_soon(_obey_parent, line, node, nursery.cancel_scope)
                async with trio.open_nursery() as running:
                    await running.start(node.run)
                    listening(node.port)
                    logger.info("listening", **whereabouts(settings, node.port))
                    if greets and settings.log_format == "console":
                        click.echo(greeting(settings, node.port, secrets, world.now_ms() / 1000))
                nursery.cancel_scope.cancel()
        logger.info("stopped")


async def _obey(signals: AsyncIterator[int], node: Node, scope: trio.CancelScope) -> None:
    """The first signal asks for an orderly stop; the second means it."""
    await anext(signals)
    node.stop()
    await anext(signals)
    scope.cancel()


async def _obey_patiently(signals: AsyncIterator[int], node: Node) -> None:
    """However often it is said: stop, in order."""
    async for _ in signals:
        node.stop()


async def _obey_parent(line: socket.socket, node: Node, scope: trio.CancelScope) -> None:
    line.setblocking(False)
    heard = trio.socket.from_stdlib_socket(line)
    while True:
        order = await heard.recv(1)
        if order == ABANDON:
            scope.cancel()
        node.stop()
        if not order:
            return


def _find(group: BaseException, kind: type[E]) -> E | None:
    """The first exception of *kind* among the group's members and their causes."""
    if isinstance(group, kind):
        return group
    within = list(group.exceptions) if isinstance(group, BaseExceptionGroup) else []
    if group.__cause__ is not None:
        within.append(group.__cause__)
    return next((found for inner in within if (found := _find(inner, kind)) is not None), None)
