"""A person's preferences about channels, and the judgement of a send by them.

The most specific word counts: that about the category on the channel; without one, the channel and
the category must both be on, and absent is on. A word about a channel does not open a category that
the person has muted, since muted notifications do not reach the inbox either. `critical` passes
muted categories and quiet hours, and not a channel that is off.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tocsin.protocol.channels.escalation import ChannelName
from tocsin.protocol.channels.quiet_hours import QuietHours, quiet_until

_CHANNELS_MAX: Final = 32
"""Channels that a person may name: more than an operator configures."""
ByChannel = Annotated[dict[ChannelName, bool], Meta(max_length=_CHANNELS_MAX)]


class ChannelPreferences(msgspec.Struct, frozen=True, omit_defaults=True):
    """*channels* by name, *categories* by category and channel, and the *quiet* hours."""

    channels: dict[str, bool] = {}
    categories: dict[str, dict[str, bool]] = {}
    quiet: QuietHours | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.channels or self.categories or self.quiet)


NO_PREFERENCES: Final = ChannelPreferences()


class Subject(msgspec.Struct, frozen=True):
    """The subject of a judgement: a notification's *category* and *priority*, and the *channel*.

    *muted* says that the person has muted the category.
    """

    category: str
    priority: str
    channel: str
    muted: bool = False


def is_wanted(preferences: ChannelPreferences, subject: Subject) -> bool:
    """Whether the person wants *subject*, at whatever hour."""
    by_channel = preferences.categories.get(subject.category, {})
    if (word := by_channel.get(subject.channel)) is not None:
        return word
    if not preferences.channels.get(subject.channel, True):
        return False
    return subject.priority == "critical" or not subject.muted


def deferred_until(preferences: ChannelPreferences, subject: Subject, now_ms: int) -> int | None:
    """When (Unix ms) quiet hours let *subject* through that is due at *now_ms*; `None`: now."""
    quiet = preferences.quiet
    if quiet is None or subject.priority == "critical" or not quiet.covers(subject.channel):
        return None
    return quiet_until(quiet, now_ms)


def encode_preferences(preferences: ChannelPreferences) -> str:
    """*preferences* as the store keeps them, in JSON."""
    return msgspec.json.encode(preferences).decode()


def decode_preferences(text: str | None) -> ChannelPreferences:
    """The preferences in *text*, which `encode_preferences` wrote; the empty ones for `None`."""
    return NO_PREFERENCES if text is None else msgspec.json.decode(text, type=ChannelPreferences)
