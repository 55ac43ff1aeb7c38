"""The `tocsin` command: one table of subcommands, each in its own module.

A new subcommand is one line in `COMMANDS`. Modules are imported only when their command runs, so
`tocsin token` does not pay for the server; `--help` needs none of them either, which is why the
table repeats one line of help.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from tocsin import __version__
from tocsin.cli.groups import CommandGroup
from tocsin.cli.trouble import as_typed, typed_program

# name: (module below this one:attribute, what it does)
COMMANDS = {
    "serve": ("serving.serve:serve", "Run the server."),
    "token": ("clients.token:token", "Print a token for a user."),
    "key": ("upkeep.key:key", "Create, list and revoke API keys."),
    "send": ("clients.send:send", "Send a notification."),
    "listen": ("clients.listen:listen", "Show a user's notifications as they come."),
    "dead-letters": (
        "operators.dead_letters:dead_letters",
        "List, show, replay and discard what did not arrive.",
    ),
    "webhook": ("operators.webhook:webhook", "Make, list, test and mend webhooks."),
    "connector": ("operators.connector:connector", "List, pause and resume connectors to brokers."),
    "sink": ("operators.sink:sink", "List, pause, enable and rewind sinks in brokers."),
    "channel": ("operators.channel:channel", "List the channels to people."),
    "vapid": ("vapid:vapid", "Make the key that signs Web Push."),
    "secrets": ("upkeep.secrets:secrets", "Seal the secrets in the database with another key."),
    "migrate": ("upkeep.migrate:migrate", "Bring the database up to date."),
    "backup": ("upkeep.backup:backup", "Copy the database into a file."),
    "restore": ("upkeep.restore:restore", "Make the database what a backup holds."),
    "copy": ("upkeep.copy:copy", "Copy a whole database into another, empty one."),
    "vacuum": ("upkeep.vacuum:vacuum", "Give the disk back what the database does not use."),
    "forget-user": ("upkeep.forget_user:forget_user", "Remove all that names a user."),
    "load": ("clients.load:load", "Put load on a deployment, and account for all of it."),
    "config": ("config:config", "Check, show and document the settings."),
}


class _Refused(click.ClickException):
    """The settings are wrong: the person's fault, like wrong usage, and the same exit code."""

    exit_code = 2


class Commands(CommandGroup):
    """A group that imports a command when it is asked for."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        return super().make_context(typed_program(info_name), args, parent, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        # Here, and not above: help needs no settings.
        from tocsin.settings.setting import SettingsError

        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise _Refused(as_typed(str(error))) from error


@click.group("tocsin", cls=Commands)
@click.version_option(__version__, prog_name="tocsin", message="%(prog)s %(version)s")
def main() -> None:
    """Tocsin delivers notifications to people's devices and knows that they arrived."""
