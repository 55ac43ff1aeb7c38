"""The settings as options of commands, made from the record.

    @click.command()
    @serve_options
    def serve(flags: Flags) -> None:
        settings = load_settings(flags, os.environ)

Options stay text here. Reading them is left to `tocsin.settings.sources`, so that a wrong flag is
listed together with what is wrong in the environment and in the file, in the same words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tocsin.settings import SETTINGS
from tocsin.settings.setting import Setting
from tocsin.settings.sources import CONFIG_FLAG, CONFIG_VARIABLE

R = TypeVar("R")

# Prefix of our options' names in click, so that none collides with a parameter of the command.
_PREFIX = "setting_"


def serve_options(command: Callable[..., R]) -> Callable[..., R]:
    """Gives a command a flag for every setting, and `--config`; it receives them as `flags`."""
    return subset(*(known.name for known in SETTINGS))(command)


def subset(*names: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """As `serve_options`, for the named settings only.

    The others still come from the environment, the file and the defaults, so that `tocsin token`
    finds the same secret as `tocsin serve` does.
    """
    chosen = [known for known in SETTINGS if known.name in names]
    if unknown := set(names) - {known.name for known in chosen}:
        raise LookupError(f"no such settings: {', '.join(sorted(unknown))}")

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def run(*args: Any, **parameters: Any) -> R:
            flags = {name: parameters.pop(_PREFIX + name) for name in (CONFIG_FLAG, *names)}
            return command(*args, flags=flags, **parameters)

        decorated: Callable[..., R] = run
        for known in reversed(chosen):
            decorated = _option(known)(decorated)
        return _config_option(decorated)

    return decorate


def _option(known: Setting) -> Callable[[Callable[..., R]], Callable[..., R]]:
    about = f"{known.help} [{known.variable}; default: {known.show(known.default)}]"
    return click.option(known.flag, _PREFIX + known.name, metavar=known.kind.name, help=about)


def _config_option(command: Callable[..., R]) -> Callable[..., R]:
    about = f"TOML file with settings. [{CONFIG_VARIABLE}]"
    return click.option("--config", _PREFIX + CONFIG_FLAG, metavar="path", help=about)(command)
