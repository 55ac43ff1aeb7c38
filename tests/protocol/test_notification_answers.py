"""The fates of a draft: refusals by field, the answer to its post, and a successor."""

from __future__ import annotations

import json

import pytest

from tests.protocol.notification_kit import ID, NOW, content, draft, seen
from tocsin.protocol.notifications.notification import answer_to_publish, content_of, superseded
from tocsin.protocol.refusal import Refused
from tocsin.protocol.values import to_rfc3339


@pytest.mark.parametrize(
    "to", [{}, {"users": ["ann"], "topic": "news"}, {"topic": "a", "all": True}]
)
def test_recipients_are_named_in_one_way(to):
    with pytest.raises(Refused, match="names no recipients, or names them in two ways") as refused:
        content(to=to)
    assert refused.value.problem.code == "invalid"


@pytest.mark.parametrize("field", ["expires_at", "deliver_at"])
def test_a_time_that_there_is_not_is_refused_by_its_field(field):
    with pytest.raises(Refused, match=field):
        content(**{field: "2030-02-30T00:00:00Z"})


def test_the_answer_to_a_publish_is_json():
    assert json.loads(answer_to_publish(content(), "active", 3)) == {
        "id": ID,
        "state": "active",
        "recipients": 3,
        "created_at": to_rfc3339(NOW),
    }


def test_a_collapsed_notification_keeps_its_id_and_beginning_and_says_what_the_newer_says():
    older = content(title="Build 41", collapse_key="build")
    newer = content_of(draft(title="Build 42", ttl=60, collapse_key="build"), "other", NOW + 9)

    both = superseded(older, newer)

    assert (both.id, both.revision, both.created_at, both.updated_at) == (ID, 2, NOW, NOW + 9)
    view = seen(both)
    assert (view["id"], view["title"], view["revision"]) == (ID, "Build 42", 2)
    assert (view["created_at"], view["updated_at"]) == (to_rfc3339(NOW), to_rfc3339(NOW + 9))
    assert both.expires_at == newer.expires_at
