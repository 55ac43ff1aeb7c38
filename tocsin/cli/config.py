"""`tocsin config`: check the settings, show where each comes from, print their documentation."""

from __future__ import annotations

import os
from dataclasses import replace

import click

from tocsin.cli.groups import CommandGroup
from tocsin.cli.options import serve_options
from tocsin.server.metrics.catalogue import table
from tocsin.settings import SETTINGS
from tocsin.settings.broker_tables import BrokerTable, table_settings
from tocsin.settings.connectors import KINDS
from tocsin.settings.secrets import check_bind
from tocsin.settings.setting import Setting
from tocsin.settings.sinks import SINK_KINDS
from tocsin.settings.sources import Flags, resolve

_DOCS_HEAD = """\
# Settings

<!-- Printed by `tocsin config docs`. To change it, change tocsin/settings/__init__.py. -->

Each setting can be given in four ways. The first one that is given counts:

1. a flag: `tocsin serve --resend-delay 5s`;
2. an environment variable: `TOCSIN_RESEND_DELAY=5s`. An empty one counts as not given.
   Secrets may instead come from a file that a variable names:
   `TOCSIN_JWT_SECRET_FILE=/run/secrets/jwt`; they are SECRETS. One newline at the file's end is
   left out. Prefer this or the plain variable to the flag: other users of a machine can see a
   program's flags;
3. a key of a TOML file: `resend_delay = "5s"`. The file is named by `--config` or `TOCSIN_CONFIG`;
   keys stand at its top, those of brokers in tables (below), and relative paths start at the
   working directory;
4. the default.

Names that are no settings are errors, in the file and among the variables that begin with
`TOCSIN_` (apart from `TOCSIN_CONFIG`, `TOCSIN_TEST_…`, and `TOCSIN_URL` and `TOCSIN_TOKEN`, with
which the commands that call a server find it). `tocsin config check` lists all that is
wrong at once; `tocsin config show` shows every value, with secrets masked, and where it comes from.

Durations are `90d`, `24h`, `5m`, `10s`, `500ms` or plain seconds. Sizes are `1MiB`, `64KiB` or
plain bytes. Lists are separated by commas, and arrays in TOML. `none` takes back a setting whose
default is none.

| setting | default | values | what it is, and why |
|---|---|---|---|
"""
_TABLE_HEAD = """
## `[{family}.NAME]` with `kind = "{kind}"`

| key | default | values | what it is, and why |
|---|---|---|---|
"""


@click.group(cls=CommandGroup)
def config() -> None:
    """Check, show and document the settings."""


@config.command()
@serve_options
def check(flags: Flags) -> None:
    """List everything that is wrong with the settings."""
    settings = resolve(flags, os.environ).settings
    # A server without JWT settings would use a generated secret. Whether it *may* is the one check
    # that the settings alone do not make.
    check_bind(settings, generated=not settings.has_jwt)
    click.echo("The settings can be used.")


@config.command()
@serve_options
def show(flags: Flags) -> None:
    """Show every setting's value, with secrets masked, and where it comes from."""
    resolved = resolve(flags, os.environ)
    # With the default, "none" would hide which file the database is.
    effective = replace(resolved.settings, database=resolved.settings.database_url)
    values = {known.name: known.show(getattr(effective, known.name)) for known in SETTINGS}
    name_width = max(map(len, values))
    value_width = max(map(len, values.values()))
    for name, value in values.items():
        click.echo(f"{name:{name_width}}  {value:{value_width}}  {resolved.origins[name]}")


@config.command()
def docs() -> None:
    """Print docs/settings.md."""
    click.echo(documentation(), nl=False)


@config.command()
def metrics() -> None:
    """Print the table of metrics in docs/observing.md."""
    click.echo(table(), nl=False)


def documentation() -> str:
    """docs/settings.md, whole."""
    secrets = ", ".join(f"`{known.name}`" for known in SETTINGS if known.kind.secret)
    head = _DOCS_HEAD.replace("SECRETS", secrets)
    settings = "".join(_row(known) for known in SETTINGS)
    connectors = "".join(_table("connectors", kind) for kind in KINDS.values())
    sinks = "".join(_table("sinks", kind) for kind in SINK_KINDS.values())
    return head + settings + connectors + sinks


def _table(family: str, kind: type[BrokerTable]) -> str:
    rows = "".join(
        _row(known) if known.name not in kind.REQUIRED else _row(known, "required")
        for known in table_settings(kind).values()
    )
    return _TABLE_HEAD.format(family=family, kind=kind.KIND) + rows


def _row(known: Setting, default: str | None = None) -> str:
    default = known.show(known.default) if default is None else default
    values = " or ".join(f"`{word}`" for word in known.kind.name.split("|"))
    if "|" not in known.kind.name:
        values = known.kind.name + (f", {known.bounds}" if known.bounds else "")
    return f"| `{known.name}` | {default} | {values} | {known.help} |\n"
