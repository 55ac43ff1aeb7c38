"""Preferences about channels: the most specific word counts, and what `critical` passes."""

from __future__ import annotations

import pytest

from tocsin.protocol.channels.preferences import (
    NO_PREFERENCES,
    ChannelPreferences,
    Subject,
    decode_preferences,
    deferred_until,
    encode_preferences,
    is_wanted,
)
from tocsin.protocol.channels.quiet_hours import QuietHours

NIGHT = QuietHours("22:00", "07:00", "Etc/UTC", ["email"])
AT_NIGHT = 1_700_000_000_000  # 22:13:20 in UTC
MORNING = 1_700_031_600_000


@pytest.mark.parametrize(
    ("channel", "by_category", "muted", "wanted", "critical_wanted"),
    [
        (None, None, False, True, True),
        (True, None, False, True, True),
        (False, None, False, False, False),
        (None, True, False, True, True),
        (None, False, False, False, False),
        (False, True, False, True, True),
        (True, False, False, False, False),
        (None, None, True, False, True),
        (True, None, True, False, True),
        (False, None, True, False, False),
        (None, True, True, True, True),
        (None, False, True, False, False),
    ],
)
def test_the_most_specific_word_counts(channel, by_category, muted, wanted, critical_wanted):
    preferences = ChannelPreferences(
        channels={} if channel is None else {"email": channel},
        categories={} if by_category is None else {"builds": {"email": by_category}},
    )

    def judged(priority: str) -> bool:
        return is_wanted(preferences, Subject("builds", priority, "email", muted))

    assert (judged("normal"), judged("critical")) == (wanted, critical_wanted)


@pytest.mark.parametrize(
    ("channel", "priority", "until"),
    [("email", "high", MORNING), ("webpush", "high", None), ("email", "critical", None)],
)
def test_quiet_hours_defer_what_is_not_critical_on_their_channels(channel, priority, until):
    preferences = ChannelPreferences(quiet=NIGHT)
    subject = Subject("builds", priority, channel)

    assert deferred_until(preferences, subject, AT_NIGHT) == until
    assert deferred_until(preferences, subject, MORNING) is None
    assert deferred_until(NO_PREFERENCES, subject, AT_NIGHT) is None


def test_they_are_kept_as_they_are():
    for preferences in (
        NO_PREFERENCES,
        ChannelPreferences({"email": False}, {"builds": {"email": True}}, NIGHT),
    ):
        assert decode_preferences(encode_preferences(preferences)) == preferences
        assert preferences.is_empty == (preferences is NO_PREFERENCES)
    assert decode_preferences(None) is NO_PREFERENCES
