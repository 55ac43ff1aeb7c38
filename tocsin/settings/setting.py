"""One setting, apart from its value: how it is written, its bounds, and what can be wrong with it.

Everything that a flag, a variable, a help text or a line of docs/settings.md needs is here, so that
`tocsin.settings` can stay a plain table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from tocsin.settings.kinds import Kind

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One setting without its value. Bounds are inclusive and in the record's unit."""

    kind: Kind[Any]
    help: str
    default: Any
    low: float | None = None
    high: float | None = None
    name: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "TOCSIN_" + self.name.upper()

    @property
    def file_variable(self) -> str | None:
        return f"{self.variable}_FILE" if self.kind.secret else None

    @property
    def optional(self) -> bool:
        return self.default in (None, ())

    def show(self, value: Any) -> str:
        """The value as it is written, or a mask if it is a secret."""
        if value in (None, ()):
            return "not given" if self.kind.has_none else "none"
        return self.kind.show(value)

    @property
    def bounds(self) -> str:
        """`10ms to 1h`, or nothing if the kind says it all."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.kind.show(self.low)} to {self.kind.show(self.high)}"

    @property
    def remedy(self) -> str:
        return f"give {self.kind.example}" + (f", from {self.bounds}" if self.bounds else "")


def setting(
    default: T, kind: Kind[Any], text: str, low: float | None = None, high: float | None = None
) -> T:
    """A dataclass field that carries its `Setting`. Typed as the default, as `field` itself is."""
    known = Setting(kind, text, default, low, high)
    made: T = field(default=default, repr=not kind.secret, metadata={"setting": known})
    return made


@dataclass(frozen=True)
class SettingProblem:
    """Something wrong with the settings. *where* is filled in by the loader, which knows it."""

    settings: tuple[str, ...]
    wrong: str
    remedy: str
    where: str = ""

    def __str__(self) -> str:
        subject = f"{self.settings[0]} {self.wrong}" if self.settings else self.wrong
        lines = [f"{subject}."]
        if self.where:
            lines.append(f"    from: {self.where}")
        lines.append(f"    do:   {self.remedy}")
        return "\n".join(lines)


class SettingsError(Exception):
    """The settings cannot be used. Lists every problem at once, so that one look mends them all."""

    def __init__(self, *problems: SettingProblem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        return "\n".join([f"{head} with the settings:", *(f"  {p}" for p in self.problems)])
