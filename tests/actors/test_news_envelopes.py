"""News that go to another node are the same news when they come out there."""

from __future__ import annotations

import pytest

from tocsin.actors.cluster.news_envelopes import WHOLE_BYTES_MAX, NewsReader, envelopes_of
from tocsin.protocol.cluster.envelopes import (
    LogChange,
    LogHead,
    TopicAdvanced,
    topic_channel,
    user_channel,
)
from tocsin.protocol.log.news import (
    AckStored,
    CountersChanged,
    DeviceForgotten,
    ExpirySet,
    LogAdvanced,
    LogAppended,
    News,
    Position,
    RecipientState,
    SharedPart,
    TopicAppended,
    TopicJoined,
    UserAttached,
)

PART = SharedPart("n", "updated", '{"id":"n","title":"Grüße"}', 5)
ANN, BOB = Position("ann", 4, 2, 1), Position("bob", 9, 3, 3)
SEEN = RecipientState("seen", 7, None)


def there_and_back(news: News) -> list[News | None]:
    reader = NewsReader()
    return [reader.read(channel, envelope) for channel, envelope in envelopes_of(news)]


@pytest.mark.parametrize(
    ("news", "heard"),
    [
        (
            LogAppended(PART, (ANN, BOB), {"bob": SEEN}, awaited=True),
            # Only the node that has committed it has the notification's actor.
            [LogAppended(PART, (ANN,), {}), LogAppended(PART, (BOB,), {"bob": SEEN})],
        ),
        (LogAdvanced("ann", 4), [LogAdvanced("ann", 4)]),
        (CountersChanged(("ann", "bob")), [CountersChanged(("ann",)), CountersChanged(("bob",))]),
        (TopicAppended("news"), [TopicAppended("news")]),
        (
            TopicJoined("news", ("ann", "bob")),
            [TopicJoined("news", ("ann",)), TopicJoined("news", ("bob",))],
        ),
        (AckStored("ann", "tab", 3, (), None), [AckStored("ann", "tab", 3, (), None)]),
        (
            AckStored("ann", "tab", None, ("n",), "a/1"),
            [AckStored("ann", "tab", None, ("n",), "a/1")],
        ),
        (DeviceForgotten("ann", "tab"), [DeviceForgotten("ann", "tab")]),
        (UserAttached("ann", ("news",)), []),
        (ExpirySet(5), []),
    ],
    ids=lambda each: type(each).__name__,
)
def test_news_come_out_as_they_went_in(news: News, heard: list[News]):
    assert there_and_back(news) == heard


def test_the_shared_part_of_a_change_is_read_once():
    first, second = there_and_back(LogAppended(PART, (ANN, BOB), {}))

    assert isinstance(first, LogAppended)
    assert isinstance(second, LogAppended)
    assert first.shared is second.shared


def test_a_change_that_would_be_very_long_for_all_is_read_from_the_store_by_each():
    large = SharedPart("n", "created", "x" * (WHOLE_BYTES_MAX // 2 + 1), None)

    assert there_and_back(LogAppended(large, (ANN,), {})) == [LogAppended(large, (ANN,), {})]
    assert there_and_back(LogAppended(large, (ANN, BOB), {})) == [
        LogAdvanced("ann", 4),
        LogAdvanced("bob", 9),
    ]


def test_an_envelope_says_nothing_on_a_channel_that_it_is_not_about():
    reader = NewsReader()

    assert reader.read(topic_channel("news"), LogHead(4)) is None
    assert reader.read(user_channel("ann"), TopicAdvanced()) is None
    assert reader.read("c", LogHead(4)) is None


def test_each_envelope_of_a_change_says_when_it_departed():
    news = LogAppended(PART, (ANN, BOB), {"bob": SEEN})
    said = [envelope for _, envelope in envelopes_of(news, 12.5)]
    assert [each.departed_at for each in said if isinstance(each, LogChange)] == [12.5, 12.5]
