"""Preferences of people, read for many sends at once, and judged one by one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.persistence.scripts.statements import Script, run
from tocsin.protocol.channels.preferences import (
    NO_PREFERENCES,
    ChannelPreferences,
    Subject,
    decode_preferences,
    deferred_until,
    is_wanted,
)


class Preferring(msgspec.Struct, frozen=True):
    """The preferences of some users: about channels, and the categories that are muted."""

    channels: dict[str, ChannelPreferences]
    muted: set[tuple[str, str]]

    def judge(self, user: str, subject: Subject, now_ms: int) -> int | None:
        """From when on (Unix ms) *user* wants *subject*: now, or when quiet hours end; `None` if
        never."""
        preferences = self.channels.get(user, NO_PREFERENCES)
        if (user, subject.category) in self.muted:
            subject = msgspec.structs.replace(subject, muted=True)
        if not is_wanted(preferences, subject):
            return None
        until = deferred_until(preferences, subject, now_ms)
        return now_ms if until is None else until


def read_preferring(asked: Iterable[tuple[str, Subject]]) -> Script[Preferring]:
    """The preferences that judge what is *asked*: users with what is to be sent to them."""
    pairs = {(user, subject.category) for user, subject in asked}
    if not pairs:
        return Preferring({}, set())
    users = sorted({user for user, _ in pairs})
    rows = yield from run("channel_preferences_read", user_id=users)
    channels = {row.user_id: decode_preferences(row.preferences) for row in rows}
    named = sorted(pairs)
    rows = yield from run(
        "categories_muted",
        user_id=[user for user, _ in named],
        category=[category for _, category in named],
    )
    return Preferring(channels, {(row.user_id, row.name) for row in rows})
