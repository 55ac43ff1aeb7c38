"""The effect of a change on the users who are online, decided in one place.

The storage actor calls the announcer with every result, in the order of commits and before it
answers the asker. So a user's actor hears of changes in the order of the user's log, and it hears
of an acknowledgment over HTTP before any later attachment of the device is answered. If the askers
told the changes themselves, they would come in the order in which Trio happens to run the askers'
tasks.

The same news go to the other nodes, whose bridges hand them to the same `dispatch`. News from
another node count as much as those of this node and no more: a session takes a change only if it is
exactly its next one, and otherwise reads the store. So news that come twice, late or in another
order do no harm.
"""

from __future__ import annotations

from contextlib import suppress
from typing import assert_never

import structlog

from tocsin.actors.delivery.messages import Acknowledged, DeviceRemoved, SharedChange
from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.users import Users, shared_change
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime.errors import MailboxFull
from tocsin.actors.sinks.watch import ReceiptWatch
from tocsin.persistence.store.result_news import news_of
from tocsin.persistence.store.results import Result
from tocsin.protocol.log.news import (
    AckStored,
    CountersChanged,
    DeviceForgotten,
    ExpirySet,
    LogAdvanced,
    LogAppended,
    News,
    SharedPart,
    TopicAppended,
    TopicJoined,
    UserAttached,
)

logger = structlog.get_logger(__name__)


class Announcer:
    """Called with each result of a committed transaction; then it never raises."""

    def __init__(
        self,
        users: Users,
        notifications: Notifications,
        topics: Topics,
        neighbours: Neighbours = ALONE,
        receipts: ReceiptWatch | None = None,
    ) -> None:
        self._users = users
        self._notifications = notifications
        self._topics = topics
        self._neighbours = neighbours
        self._receipts = receipts or ReceiptWatch()
        self._shared: tuple[SharedPart, SharedChange] | None = None

    def __call__(self, result: Result) -> None:
        """Tell this node and the others what *result* has changed."""
        self._receipts.committed()
        try:
            if news := news_of(result):
                for each in news:
                    self.dispatch(each)
                self._neighbours.announce(news)
        except Exception:
            # A bug of ours must not take the store away from all users. The sessions notice the
            # gap at the next sequence, and read the store.
            logger.exception("announcement failed", result=type(result).__name__)

    def dispatch(self, news: News) -> None:
        """Tell the actors of this node that *news* concern, wherever the change was committed."""
        match news:
            case LogAppended():
                self._appended(news)
            case LogAdvanced(user=user, head=head):
                self._users.head_moved(user, head)
            case CountersChanged(users=users):
                for user in users:
                    self._users.recounted(user)
            case TopicAppended(topic=topic):
                self._topics.advanced(topic)
            case TopicJoined(topic=topic, users=users):
                self._topics.subscribed(topic, users)
            case UserAttached(user=user, topics=topics):
                # A user who has left in the meantime would stay in the index for ever.
                if self._users.find(user) is not None:
                    self._topics.present(user, topics)
            case AckStored():
                self._acknowledged(news)
            case DeviceForgotten(user=user, device=device):
                # Beyond the capacity: a session that goes on would write the device's cursor again.
                self._users.tell(user, DeviceRemoved(device), forced=True)
            case ExpirySet(at=at):
                self._notifications.will_expire(at)
            case _:
                assert_never(news)

    def _appended(self, news: LogAppended) -> None:
        told = self._users.fan_out(self._change(news.shared), news.positions, news.states)
        if told and news.awaited:
            self._notifications.expect(news.shared.notification, told)

    def _change(self, part: SharedPart) -> SharedChange:
        """*part* with its view, made once for all users of a change.

        The bus brings the change to each user as news of its own, so the last one is remembered.
        """
        if self._shared is None or self._shared[0] is not part:
            self._shared = part, shared_change(part)
        return self._shared[1]

    def _acknowledged(self, news: AckStored) -> None:
        # The acknowledgment is in the store, so a session that cannot be told of it sends a push
        # once more than necessary.
        with suppress(MailboxFull):
            acknowledged = Acknowledged(news.device, news.through, news.ids, news.session)
            self._users.tell(news.user, acknowledged)
