"""`tocsin listen`: one device of a user, in a terminal."""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from http import HTTPStatus
from typing import Final

import click
import trio

from tocsin import __version__
from tocsin.cli.credentials import is_local
from tocsin.cli.parameters import CursorText, DeviceName, UserName
from tocsin.cli.reaching import Server, server_options
from tocsin.cli.trouble import Trouble, program
from tocsin.client.calls import Call, CallFailed, ask
from tocsin.client.lines import push_line
from tocsin.client.listening import Listening, Outcome, Place
from tocsin.client.narration import Narrator
from tocsin.protocol.log.cursor import BEGINNING
from tocsin_client.follower import RECONNECT_CAP
from tocsin_client.frames import Push

_TOKEN_LIFETIME: Final = 3600.0
"""Seconds; the token is replaced by a fresh one before they are over."""
_LOCAL_CAP: Final = 2.0
"""Seconds between attempts on this machine, where no crowd comes back at once and a person
waits."""


class Terminal:
    """Pushes go to standard output, news about the connection to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def show(self, push: Push) -> None:
        now = datetime.now().astimezone()
        click.echo(push.raw if self._as_json else push_line(push, now))

    def tell(self, text: str, raw: str | None) -> None:
        # Frames that change the meaning of pushes are for the reading program as well.
        if self._as_json and raw is not None:
            click.echo(raw)
        click.echo(text, err=True)


@click.command()
@click.argument("user", type=UserName())
@click.option("--device", type=DeviceName(), help="This device's name.  [default: cli-HOSTNAME]")
@click.option("--from-start", is_flag=True, help="Everything that is retained, from the first on.")
@click.option("--cursor", type=CursorText(), help="Go on behind this cursor.")
@click.option("--no-ack", is_flag=True, help="Only watch: the server will send everything again.")
@click.option("--json", "as_json", is_flag=True, help="Print the frames as they come, as JSON.")
@click.option("--once", type=click.IntRange(1), metavar="N", help="Stop after N notifications.")
@server_options("A token of the user.")
def listen(
    user: str,
    device: str | None,
    from_start: bool,
    cursor: str | None,
    no_ack: bool,
    as_json: bool,
    once: int | None,
    server: Server,
) -> None:
    """Show the notifications of USER as they come, and acknowledge them.

    It is a device like any other: the server remembers how far it got, and what it missed comes
    first next time. Lost connections are made again; Ctrl-C ends it. Without a token it makes one
    with the secret of the server, which has to be on this machine; a server that is not there yet
    is waited for.

    With --json, pushes (and `reset` and `status` frames) are printed one on a line, as they came.
    """
    if from_start and cursor is not None:
        raise click.UsageError("Give --from-start or --cursor, not both.")
    minter = server.minter(math.inf)
    place = Place(
        server.url,
        user,
        device or default_device(socket.gethostname()),
        server.token or (lambda: server.credential(minter, user, (), _TOKEN_LIFETIME)),
        client=f"tocsin-cli/{__version__}",
        cursor=BEGINNING if from_start else cursor,
        acknowledge=not no_ack,
        shown_max=once,
        reconnect_cap=_LOCAL_CAP if is_local(server.url) else RECONNECT_CAP,
    )
    remedy = f"start the server ({program()} serve), or name another one with --url"
    narrator = Narrator(user, server.url, remedy)
    listening = Listening(place, Terminal(as_json=as_json), narrator)
    stop = Outcome()
    try:
        stop = trio.run(_listen, listening)
    except* BrokenPipeError:
        # The reader of the pipe (`| head`) has seen enough; pushes it has not read stay
        # unacknowledged. The interpreter flushes at its end, and must not find the broken pipe
        # again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if stop.trouble is not None and stop.unauthenticated:
        remedy, where = server.remedy_of_401(minter)
        token = server.credential(minter, user, (), _TOKEN_LIFETIME)
        said = trio.run(_refusal, server.url, token)
        raise Trouble(f"{server.url}: {stop.trouble}{said}", remedy, where)
    if stop.trouble is not None:
        raise click.ClickException(stop.trouble)


def default_device(hostname: str) -> str:
    """The same at each start on one machine, so that the server knows where it was."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", hostname)[:100]
    return f"cli-{name or 'host'}"


async def _refusal(url: str, token: str) -> str:
    """The words of the server on *token*, as it answers a request: more than fits the end of a
    WebSocket, such as where the keys and secrets are that it knows. Empty if there are none."""
    try:
        await ask(url, token, Call("GET", "/v1/me/devices", "ask", "subscribe"))
    except CallFailed as refused:
        if refused.status == HTTPStatus.UNAUTHORIZED:
            return f" It says: {refused.wrong}"
    return ""


async def _listen(listening: Listening) -> Outcome:
    """Until there is nothing more to do, or a signal: that is an end like another."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave_at, signals, listening)
            stop = await listening.run()
            nursery.cancel_scope.cancel()
    return stop


async def _leave_at(signals: AsyncIterator[int], listening: Listening) -> None:
    # All of them: an impatient second one must not become an exception at the last moment.
    async for _ in signals:
        listening.leave()
