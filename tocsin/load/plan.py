"""The plan of a load: one engine's parameters, and the scenarios as sets of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One load; times in seconds, rates per second, shares from 0 to 1."""

    scenario: str
    devices: int = 1000
    """One device for each user."""
    connect_rate: float = 500.0
    """Devices that connect in a second, at the start."""
    posts: float = 10.0
    """Posts a second, on an open schedule: a slow answer does not slow the schedule down."""
    recipients: int = 1
    """Users that each post goes to, in turn."""
    duration: float = 30.0
    """Seconds of posting, once all devices are there."""
    connections: int = 16
    """Connections of the producers, each with one post at a time."""
    cuts: float = 0.0
    """Share of the devices whose connection is cut in a second, without a word."""
    repeats: float = 0.0
    """Share of the posts that are said again with the same idempotency key."""
    silent: float = 0.0
    """Share of the pushes that a device drops and does not acknowledge, each time anew."""
    ack_delay: float = 0.0
    """Longest time that a device takes to acknowledge."""
    kill_after: float | None = None
    """Seconds after which the command of `--kill` is run."""
    settle: float = 60.0
    """Longest time, when posting is over, in which the last pushes may come."""


SCENARIOS: Final[Mapping[str, tuple[str, LoadPlan]]] = {
    "storm": (
        "Many devices connect in a short time, while posts go on.",
        LoadPlan(scenario="storm", devices=5000, connect_rate=500.0, posts=20.0, duration=10.0),
    ),
    "fanout": (
        "Each post goes to all users at once.",
        LoadPlan(scenario="fanout", devices=1000, posts=2.0, recipients=1000),
    ),
    "chaos": (
        "Connections are cut all the time; devices come back where they stopped.",
        LoadPlan(scenario="chaos", devices=500, posts=50.0, recipients=5, cuts=0.05),
    ),
    "retries": (
        "Producers repeat themselves; devices acknowledge late, or drop what they get.",
        LoadPlan(
            scenario="retries",
            devices=200,
            posts=50.0,
            recipients=2,
            repeats=0.3,
            silent=0.1,
            ack_delay=0.5,
            settle=120.0,
        ),
    ),
    "soak": (
        "A little of everything for a long time.",
        LoadPlan(
            scenario="soak",
            devices=1000,
            posts=20.0,
            recipients=3,
            cuts=0.002,
            repeats=0.02,
            silent=0.01,
            duration=3600.0,
        ),
    ),
    "nodekill": (
        "A node is killed under load, by a command of yours (--kill).",
        LoadPlan(
            scenario="nodekill",
            devices=1000,
            posts=50.0,
            recipients=5,
            repeats=1.0,
            kill_after=10.0,
            settle=120.0,
        ),
    ),
}
"""Scenarios by name: what each is, in a sentence, and its parameters."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The bounds of a run; times in seconds. The defaults are Tocsin's promises."""

    lost: int = 0
    """Notifications that a device should have got and did not."""
    repeated: int = 0
    """Pushes of what the device had acknowledged in the same session."""
    disordered: int = 0
    """Pushes that came before an older one of the same user."""
    refused: int = 0
    """Posts that were never accepted."""
    p50: float | None = None
    """Publish → push, the median."""
    p99: float | None = None
    """Publish → push, the slowest hundredth."""


def read_thresholds(text: str) -> Thresholds:
    """The thresholds in TOML *text*. Raises `ValueError` with a sentence for what is wrong."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is no TOML: {error}") from None
    known = {each.name for each in fields(Thresholds)}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"has {unknown[0]!r}, which is none of {', '.join(sorted(known))}")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"has {name} = {value!r}, which is not a number from 0 on")
    return replace(Thresholds(), **given)


def changed(plan: LoadPlan, given: Mapping[str, Any]) -> LoadPlan:
    """*plan* with the parameters that were *given*; a `None` is none.

    Recipients are never more than there are users.
    """
    made = replace(plan, **{name: value for name, value in given.items() if value is not None})
    return replace(made, recipients=min(made.recipients, made.devices))
