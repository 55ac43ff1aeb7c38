"""Which news the results of commands are."""

from __future__ import annotations

import pytest

from tests.persistence.desk_kit import content
from tocsin.persistence.store.commands import (
    Changed,
    Counters,
    Done,
    FanOut,
    KeyReused,
    NotFound,
    TooMany,
)
from tocsin.persistence.store.result_news import news_of
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expired, LetterReplayed, Released
from tocsin.persistence.store.user_commands import (
    AcknowledgedPartly,
    Attached,
    BeyondHead,
    Marked,
    Materialised,
    PreferencesSet,
    Subscribed,
)
from tocsin.protocol.log.cursor import Start
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
from tocsin.protocol.notifications.notification import Change, Content

ONE, OTHER, IN_TOPIC = content("One"), content("Other"), content("News", topic="news")
ANN, BOB = Position("ann", 4, 2, 1), Position("bob", 9, 3, 3)
SEEN = {"bob": RecipientState("seen", 7, None)}
ACK, FORGOTTEN = AckStored("ann", "tab", 3, (), "a/1"), DeviceForgotten("ann", "tab")
NEWS: list[tuple[Result, list[News]]] = []


def news(result: Result, *expected: News) -> None:
    NEWS.append((result, [*expected]))


def shared(made: Content, change: Change = Change.CREATED) -> SharedPart:
    return SharedPart(made.id, change, made.document, made.expires_at)


TAKEN = FanOut(OTHER, Change.WITHDRAWN, (BOB,), {})
GIVEN = FanOut(ONE, Change.CREATED, (ANN, BOB), SEEN)
PUBLISHED = Changed(ONE, (TAKEN, GIVEN), "active", 2)
OF_PUBLISHED = (
    LogAppended(shared(OTHER, Change.WITHDRAWN), (BOB,), {}),
    LogAppended(shared(ONE), (ANN, BOB), SEEN, awaited=True),
)

news(PUBLISHED, *OF_PUBLISHED)
news(Changed(IN_TOPIC, (), "active", 2), TopicAppended("news"))
news(Changed(IN_TOPIC, (), "scheduled", 2))
news(
    Released((PUBLISHED, Changed(IN_TOPIC, (), "active", 2)), None),
    *OF_PUBLISHED,
    TopicAppended("news"),
)
news(
    Materialised((GIVEN,), (), ("cem",)),
    LogAppended(shared(ONE), (ANN, BOB), SEEN),
    CountersChanged(("cem",)),
)
news(Materialised(()))
news(
    Expired(3, None, ("news", "sport"), ("ann", "bob")),
    TopicAppended("news"),
    TopicAppended("sport"),
    CountersChanged(("ann", "bob")),
)
news(Marked("ann", 0, 4, Counters(1, 1), more=False), LogAdvanced("ann", 4))
news(PreferencesSet("ann", 4), LogAdvanced("ann", 4))
news(LetterReplayed("ann", 4), LogAdvanced("ann", 4))
news(LetterReplayed("ann", 4, 1000), LogAdvanced("ann", 4), ExpirySet(1000))
news(
    Subscribed("news", True, ("ann",), (), {"ann": 4}, ("ann", "bob")),
    LogAdvanced("ann", 4),
    TopicJoined("news", ("ann", "bob")),
)
news(Subscribed("news", False, ("ann",), (), {"ann": 4}), LogAdvanced("ann", 4))
news(
    Attached("ann", Start(0, None, resumed=False), 0, Counters(0, 0), topics=("news",)),
    UserAttached("ann", ("news",)),
)
news(ACK, ACK)
news(FORGOTTEN, FORGOTTEN)
for refusal in (Done(), NotFound(), KeyReused(), BeyondHead(3), AcknowledgedPartly(), TooMany(2)):
    news(refusal)


@pytest.mark.parametrize(("result", "expected"), NEWS)
def test_a_result_says_what_has_changed(result: Result, expected: list[News]):
    assert list(news_of(result)) == expected
