"""What a commit means to those who are online, told in the order of commits.

The storage actor calls this for every result, before it answers whoever asked. So it does not
matter who asked, nor over which transport: a change of a log reaches the sessions that follow the
log. And since all is told by one task, a user's changes reach the user's actor in the order of
their sequences; told by their askers they would not. The other nodes of a cluster are told the
same, through the bridge.
"""

from __future__ import annotations

import structlog

from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.users import Users
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.topics import Topics
from tocsin.persistence.store import (
    Attached,
    Changed,
    Expired,
    LetterReplayed,
    Marked,
    Materialised,
    PreferencesSet,
    Released,
    Result,
    Subscribed,
)
from tocsin.protocol.notification import Standing

logger = structlog.get_logger(__name__)


class Announcer:
    """Called with each result of a committed transaction; never raises."""

    def __init__(
        self,
        users: Users,
        notifications: Notifications,
        topics: Topics,
        neighbours: Neighbours = ALONE,
    ) -> None:
        self._users = users
        self._notifications = notifications
        self._topics = topics
        self._neighbours = neighbours

    def __call__(self, result: Result) -> None:
        """Tell whom *result* concerns."""
        try:
            self._announce(result)
            self._neighbours.announce(result)
        except Exception:
            # A bug of ours must not take the store away from everybody. The sessions find out when
            # they see the next sequence.
            logger.exception("announcement failed", result=type(result).__name__)

    def _announce(self, result: Result) -> None:
        match result:
            case Changed():
                self._changed(result)
            case Materialised(fan_outs=fan_outs, recounted=users):
                for fan_out in fan_outs:
                    self._users.fan_out(fan_out)
                for user in users:
                    self._users.recounted(user)
            case Attached(user=user, topics=topics):
                # Who has left in the meantime would stay in the index for ever.
                if self._users.find(user) is not None:
                    self._topics.present(user, topics)
            case Subscribed():
                for user, head in result.heads.items():
                    self._users.head_moved(user, head)
                if result.joined:
                    self._topics.subscribed(result.topic, result.members)
            case LetterReplayed(user=user, head=head, expires_at=expires_at):
                self._users.head_moved(user, head)
                if expires_at is not None:
                    self._notifications.will_expire(expires_at)
            case Marked(user=user, head=head) | PreferencesSet(user=user, head=head):
                # Also of a mark that changed nothing: what is new in topics came first.
                self._users.head_moved(user, head)
            case Released(changes=changes):
                for changed_ in changes:
                    self._changed(changed_)
            case Expired(topics=topics, users=users):
                for topic in topics:
                    self._topics.advanced(topic)
                for user in users:
                    self._users.recounted(user)
            case _:
                pass

    def _changed(self, changed: Changed) -> None:
        told = 0
        for fan_out in changed.fan_outs:
            reached = self._users.fan_out(fan_out)
            # Of a notification that this one replaces nobody waits for an acknowledgment.
            if fan_out.content.id == changed.content.id:
                told += reached
        if told:
            self._notifications.expect(changed.content.id, told)
        if changed.content.topic is not None and changed.standing != Standing.SCHEDULED:
            self._topics.advanced(changed.content.topic)
