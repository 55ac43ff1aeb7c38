"""`tocsin load`: put load on a deployment, and account for each notification."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import click

from tocsin.cli.credentials import Minter, find_minter
from tocsin.cli.parameters import Duration
from tocsin.cli.reaching import Server, server_options
from tocsin.cli.trouble import Trouble
from tocsin.load import report, verdict
from tocsin.load.engine import Engine, LoadOutcome, NotConnected
from tocsin.load.plan import SCENARIOS, Thresholds, changed, read_thresholds
from tocsin.load.target import Target, is_this_machine, parse_target

_TOKEN_LIFETIME: Final = 7 * 86_400.0
"""Seconds: longer than any run."""
_KILL_TIMEOUT: Final = 60.0
"""Seconds for the command of `--kill`."""
_ABOUT: Final = "\n\n".join(f"{name}: {about}" for name, (about, _) in SCENARIOS.items())


@click.command(
    help="Put load on a deployment, and account for each notification: what was lost, repeated or "
    "out of order on a device, and how long a push took. Exit code 1 if a threshold is broken.\n\n"
    "The users are named load-<run>-<number>, and their posts have the category `load`: "
    "`tocsin forget-user` removes them. Users' tokens are made with the secret of the server "
    "(`jwt_secret`, or the data directory); posts use --token, or one that is made likewise.\n\n"
    + _ABOUT
)
@click.argument("scenario", type=click.Choice(list(SCENARIOS)))
@click.option("--devices", type=click.IntRange(1, 1_000_000), help="Users, with a device each.")
@click.option("--posts", type=click.FloatRange(0.01, 100_000), help="Posts a second.")
@click.option("--recipients", type=click.IntRange(1, 1000), help="Users of each post.")
@click.option("--duration", type=Duration(), help="How long to post, once all are connected.")
@click.option("--connect-rate", type=click.FloatRange(1, 100_000), help="Devices a second.")
@click.option("--connections", type=click.IntRange(1, 1000), help="Connections of producers.")
@click.option("--cuts", type=click.FloatRange(0, 1), help="Share of connections cut a second.")
@click.option("--settle", type=Duration(), help="How long the last pushes may take to come.")
@click.option("--kill", metavar="COMMAND", help="Run this in the midst of it (nodekill).")
@click.option("--kill-after", type=Duration(), help="How long after the first post to kill.")
@click.option(
    "--thresholds", "thresholds_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file: lost, repeated, disordered, refused, p50, p99 (seconds).",
)  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a report.")
@click.option("--yes-remote", metavar="HOST", help="Load HOST, which is another machine.")
@click.option("--seed", type=int, help="For the same choices again.")
@server_options("An API key or token with the scope notify, for the posts.")
def load(
    scenario: str,
    kill: str | None,
    thresholds_file: Path | None,
    json_file: Path | None,
    html_file: Path | None,
    yes_remote: str | None,
    seed: int | None,
    server: Server,
    **parameters: Any,
) -> None:
    """See the help text above: click shows that one."""
    plan = changed(SCENARIOS[scenario][1], parameters)
    if plan.kill_after is not None and kill is None:
        raise click.UsageError("nodekill needs --kill COMMAND, which ends a node of yours.")
    thresholds = _thresholds(thresholds_file)
    target = _target(server, yes_remote)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    engine = Engine(
        plan,
        target,
        secrets.token_hex(4),
        chance=random.Random(seed),
        kill=None if kill is None else _killer(kill),
        progress=_progress(),
    )
    try:
        outcome = asyncio.run(engine.run())
    except NotConnected as error:
        raise Trouble(f"The load never began: {error}", "see what the server's log says") from None
    run = verdict.document(outcome, thresholds)
    if json_file is not None:
        json_file.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    if html_file is not None:
        html_file.write_text(report.page(run, target=server.url, began=began), encoding="utf-8")
    for line in report.lines(run):
        click.echo(line)
    broken = verdict.breaches(outcome, thresholds)
    for breach in broken:
        click.echo(f"BROKEN {breach}", err=True)
    if broken:
        sys.exit(1)
    click.echo("All thresholds held.")


def _thresholds(file: Path | None) -> Thresholds:
    if file is None:
        return Thresholds()
    try:
        return read_thresholds(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.BadParameter(f"{file} {error}", param_hint="--thresholds") from None


def _target(server: Server, yes_remote: str | None) -> Target:
    try:
        host, port, tls = parse_target(server.url)
    except ValueError as error:
        raise click.BadParameter(f"{server.url} {error}", param_hint="--url") from None
    if not is_this_machine(host) and yes_remote != host:
        raise click.UsageError(
            f"{host} is another machine. If it is yours to load, say so: --yes-remote {host}"
        )
    minter = find_minter(server.flags)
    producer = server.token or minter.mint("load", {"notify"}, _TOKEN_LIFETIME)
    return Target(host, port, tls, _tokens(minter), producer)


def _tokens(minter: Minter) -> Callable[[str], str]:
    """Each user's token is made once: a device that comes back has it."""

    @cache
    def token(user: str) -> str:
        return minter.mint(user, (), _TOKEN_LIFETIME)

    return token


def _killer(command: str) -> Callable[[], Awaitable[None]]:
    async def kill() -> None:
        process = await asyncio.create_subprocess_shell(command)
        code = await asyncio.wait_for(process.wait(), _KILL_TIMEOUT)
        click.echo(f"\n{command}: exit code {code}", err=True)

    return kill


def _progress() -> Callable[[str, LoadOutcome], None]:
    """A line that is written over each second, where a person looks on."""
    if not sys.stderr.isatty():
        return lambda phase, outcome: None

    def show(phase: str, outcome: LoadOutcome) -> None:
        tally = outcome.books.tally
        p99 = report.milliseconds(outcome.books.pushes.quantile(0.99))
        click.echo(
            f"\r\x1b[K{phase}: {tally.connected} connected, {tally.accepted} posts, "
            f"{tally.pushes} pushes, p99 {p99}",
            nl=False,
            err=True,
        )

    return show
