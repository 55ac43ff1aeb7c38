"""Where the values of the settings come from, and which of two wins.

    flag  >  TOCSIN_… variable  >  file named by TOCSIN_…_FILE (secrets)  >  TOML file  >  default

Each source is first collected as it was written, with its origin. Only the winner of each setting
is read; a value that cannot be used becomes a `SettingProblem` with its origin, so that one start
shows all mistakes and not only the first. Unknown names are mistakes too: a typing error in
`TOCSIN_RETENTOIN` would otherwise show itself when the data is gone.

An empty variable counts as not given, because Compose passes on what is unset as empty.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tocsin.settings import SETTINGS, Settings
from tocsin.settings.setting import Setting, SettingProblem, SettingsError

Flags = Mapping[str, str | None]

CONFIG_FLAG, CONFIG_VARIABLE = "config", "TOCSIN_CONFIG"
DEFAULT = "default"

# Variables that are not settings: the file's path, where and as whom commands talk to a server, and
# what the tests use to find real servers.
_NOT_SETTINGS = re.compile(r"TOCSIN_CONFIG|TOCSIN_URL|TOCSIN_TOKEN|TOCSIN_TEST_.*")
# Variables that Kubernetes puts into every pod next to a Service named "tocsin".
_SERVICE_LINK = re.compile(r"TOCSIN_SERVICE_(HOST|PORT).*|TOCSIN_PORT_[0-9]+_(TCP|UDP|SCTP).*")

_BY_NAME = {known.name: known for known in SETTINGS}


@dataclass(frozen=True)
class Given:
    """A value as it was written, and where."""

    raw: object = field(repr=False)
    origin: str


@dataclass(frozen=True)
class Resolved:
    """The settings of a run, and for each name the place its value came from."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(flags: Flags, environ: Mapping[str, str]) -> Settings:
    """The settings of this run. Raises `SettingsError` with every problem."""
    return resolve(flags, environ).settings


def resolve(flags: Flags, environ: Mapping[str, str]) -> Resolved:
    """As `load_settings`, with the origins. *flags* maps names (and `config`) to the typed texts.

    Raises `SettingsError` with every problem.
    """
    problems: list[SettingProblem] = []
    given = {
        **_from_toml(flags.get(CONFIG_FLAG) or environ.get(CONFIG_VARIABLE), problems),
        **_from_environment(environ, problems),
        **_from_flags(flags),
    }
    values: dict[str, Any] = {}
    for name, each in given.items():
        try:
            values[name] = _read(_BY_NAME[name], each.raw)
        except ValueError as error:
            remedy = _BY_NAME[name].remedy
            problems.append(SettingProblem((name,), str(error), remedy, each.origin))
    origins = {known.name: DEFAULT for known in SETTINGS} | {
        name: each.origin for name, each in given.items()
    }
    unread = given.keys() - values.keys()
    settings = _make(values, unread, origins, problems)
    if settings is None or problems:
        raise SettingsError(*problems)
    return Resolved(settings, origins)


def _make(
    values: dict[str, Any],
    unread: Iterable[str],
    origins: Mapping[str, str],
    found: list[SettingProblem],
) -> Settings | None:
    """The record, or None, with its problems added to *found*."""
    try:
        return Settings(**values)
    except SettingsError as error:
        for problem in error.problems:
            # A setting that could not be read stands here with its default: a contradiction with
            # that default would only confuse.
            if not set(problem.settings) & set(unread):
                where = ", ".join(_whence(name, origins, problem) for name in problem.settings)
                found.append(replace(problem, where=where))
        return None


def _whence(name: str, origins: Mapping[str, str], problem: SettingProblem) -> str:
    return origins[name] if len(problem.settings) == 1 else f"{name}: {origins[name]}"


def _read(known: Setting, raw: object) -> object:
    # So that a flag can take back a setting of the file.
    if known.optional and raw == "none" and not known.kind.has_none:
        nothing: object = known.default
        return nothing
    value: object = known.kind.read(raw)
    return value


def _from_flags(flags: Flags) -> dict[str, Given]:
    return {
        name: Given(raw, f"flag {_BY_NAME[name].flag}")
        for name, raw in flags.items()
        if raw is not None and name != CONFIG_FLAG
    }


def _from_environment(
    environ: Mapping[str, str], problems: list[SettingProblem]
) -> dict[str, Given]:
    given: dict[str, Given] = {}
    names = {known.variable for known in SETTINGS}
    for known in SETTINGS:
        value = environ.get(known.variable)
        if value:
            given[known.name] = Given(value, f"environment variable {known.variable}")
        if known.file_variable is not None:
            names.add(known.file_variable)
            path = environ.get(known.file_variable)
            if value and path:
                wrong = f"is given twice, by {known.variable} and by {known.file_variable}"
                problems.append(SettingProblem((known.name,), wrong, "keep one of the two"))
            elif path:
                given |= _from_secret_file(known, path, problems)
    ours = sorted(name for name in environ if name.startswith("TOCSIN_"))
    problems.extend(
        _unknown_variable(name, names)
        for name in ours
        if name not in names and not _NOT_SETTINGS.fullmatch(name)
    )
    return given


def _unknown_variable(name: str, names: Iterable[str]) -> SettingProblem:
    remedy = _suggestion(name, [*names, CONFIG_VARIABLE], prefix="TOCSIN_")
    if _SERVICE_LINK.fullmatch(name):
        remedy = "set `enableServiceLinks: false` in the pod, since Kubernetes put it there"
    return SettingProblem((), f"{name} is no setting", remedy, "environment")


def _from_secret_file(
    known: Setting, path: str, problems: list[SettingProblem]
) -> dict[str, Given]:
    origin = f"file {path} (environment variable {known.file_variable})"
    try:
        text = Path(path).read_bytes().decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        wrong = f"cannot be read from its file: {reason}"
        remedy = f"check the path and who may read it, or set {known.variable} itself"
        problems.append(SettingProblem((known.name,), wrong, remedy, origin))
        return {}
    # One newline, because that is what editors and `echo` add; more may be part of the secret.
    return {known.name: Given(re.sub(r"\r?\n\Z", "", text), origin)}


def _from_toml(path: str | None, problems: list[SettingProblem]) -> dict[str, Given]:
    if not path:
        return {}
    try:
        table = tomllib.loads(Path(path).read_bytes().decode())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else _toml_reason(error)
        remedy = "correct the file, or its path (--config, TOCSIN_CONFIG)"
        wrong = f"The settings file cannot be read: {reason}"
        problems.append(SettingProblem((), wrong, remedy, f"file {path}"))
        return {}
    given: dict[str, Given] = {}
    for name, raw in table.items():
        if name in _BY_NAME:
            given[name] = Given(raw, f"file {path}, key {name}")
        else:
            wrong = f"{name} is no setting"
            remedy = _suggestion(name, _BY_NAME)
            if isinstance(raw, dict):
                remedy += "; settings stand at the top of the file, not in tables of other names"
            problems.append(SettingProblem((), wrong, remedy, f"file {path}"))
    return given


def _toml_reason(error: ValueError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeError) else f"not TOML: {error}"


def _suggestion(name: str, names: Iterable[str], prefix: str = "") -> str:
    # Compared without the prefix: sharing it would make any two variables look alike.
    bare = [each.removeprefix(prefix) for each in names]
    close = get_close_matches(name.removeprefix(prefix), bare, n=1)
    if close:
        return f"did you mean {prefix}{close[0]}? Otherwise take it out"
    return "take it out; `tocsin config docs` lists the settings"
