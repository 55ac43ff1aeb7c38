"""Every setting and every limit of the server: one record, each with its reason.

`Settings` is the only place where a default, a unit or a bound is written down. The flags of the
commands, the environment variables, the keys of the TOML file and docs/settings.md are all made
from its fields (`SETTINGS` lists them), so none of them can drift from it. Where the values of a
run come from is the business of `tocsin.settings.sources`.

A record that exists is valid: making one with a value out of bounds raises `SettingsError`, in code
and in tests as on the command line. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from tocsin.settings.contradictions import contradictions
from tocsin.settings.record import SettingsRecord
from tocsin.settings.setting import Setting, SettingProblem, SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(SettingsRecord):
    """The settings of one node, checked. docs/settings.md has the same as a table."""

    def __post_init__(self) -> None:
        problems = (*_out_of_bounds(self), *contradictions(self))
        if problems:
            raise SettingsError(*problems)


SETTINGS: tuple[Setting, ...] = tuple(
    replace(each.metadata["setting"], name=each.name) for each in fields(Settings)
)


def _out_of_bounds(settings: Settings) -> Iterator[SettingProblem]:
    for known in SETTINGS:
        value = getattr(settings, known.name)
        if known.low is None or known.high is None or value is None:
            continue
        if not math.isfinite(value):
            wrong = f"is {value}, which is not finite"
        elif value < known.low:
            wrong = f"is {known.show(value)}, below the least, {known.show(known.low)}"
        elif value > known.high:
            wrong = f"is {known.show(value)}, above the most, {known.show(known.high)}"
        else:
            continue
        yield SettingProblem((known.name,), wrong, known.remedy)
