"""`tocsin serve`: run a node until SIGTERM or SIGINT, or several as workers of one machine."""

from __future__ import annotations

import gc
import os
import socket
import sys
from importlib import import_module
from typing import Final

import click
import structlog

from tocsin.cli.locks import served_alone
from tocsin.cli.options import serve_options
from tocsin.cli.serving.data_directory import check_data
from tocsin.cli.serving.descriptors import with_room
from tocsin.cli.serving.node_process import make_verifier, run_node
from tocsin.cli.serving.workers import Workers
from tocsin.logs import configure
from tocsin.settings.secrets import DevelopmentSecrets, check_bind
from tocsin.settings.sources import Flags, load_settings

# Trio makes many short-lived cycles of objects; Python's defaults then spend a third of the time
# looking for garbage among what lives for ever. Nothing else happens while the youngest are looked
# through: a few milliseconds for so many, if they all live, as those of arriving devices do.
_GC_THRESHOLDS: Final = (10_000, 250, 100)


@click.command()
@serve_options
def serve(flags: Flags) -> None:
    """Run the server."""
    settings = load_settings(flags, os.environ)
    settings = settings.named(socket.gethostname(), os.urandom)
    check_data(settings)
    secrets = DevelopmentSecrets.open(settings, os.urandom)
    check_bind(settings, secrets.generated)
    make_verifier(settings, secrets)  # refuses now, and once, what no worker could use
    configure(settings.log_format, settings.log_level)
    structlog.contextvars.bind_contextvars(node=settings.node)
    settings = with_room(settings)  # before workers are forked, which inherit it
    if settings.workers > 1:
        # A lone node loads these for the first request that needs them; workers load them together.
        import_module("tocsin.server.http.asgi_lane")
        import_module("tocsin.server.api.quart_app")
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    if settings.workers == 1:
        with served_alone(settings) as listening:
            run_node(settings, secrets, listening=listening)
        return
    try:
        workers = Workers.reserve(settings, secrets)
    except OSError as error:
        raise click.ClickException(str(error.strerror)) from None
    sys.exit(workers.run())
