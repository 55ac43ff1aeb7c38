"""Publishing batches against a real store whose actor has little room."""

from pathlib import Path

import pytest

from tests.server.publishing_kit import open_publishing
from tocsin.actors.delivery.timing import Via
from tocsin.actors.runtime.ref import Reply
from tocsin.actors.spool.entries import Committal
from tocsin.persistence.store.commands import Changed
from tocsin.persistence.store.queries import FindHead, Head
from tocsin.protocol.notifications.notification import Draft, Recipients
from tocsin.protocol.refusal import Refused
from tocsin.protocol.traceparent import SpanContext
from tocsin.server.auth.principal import Principal
from tocsin.server.producing.batch import BatchItem, Item, publish_all
from tocsin.server.producing.publishing import Published, Publishing, Waited

SHOP = Principal(user=None, scopes=frozenset({"notify"}), credential="key:shop", expires_at=None)


def item(title: str) -> BatchItem:
    return BatchItem(to=Recipients(users=["ada"]), title=title)


async def test_a_store_without_room_makes_the_batch_wait_and_fails_no_item(tmp_path: Path):
    async with open_publishing(tmp_path, capacity=32) as (publishing, services):
        outcomes = await publish_all(publishing, SHOP, [item(str(n)) for n in range(700)], None)
        assert all(isinstance(each, Published) for each in outcomes)
        assert len(outcomes) == 700
        head = await services.read(FindHead("ada"))
        assert isinstance(head, Head)
        assert (head.head, head.counters.unread) == (700, 700)


class Watched(Publishing):
    """Notes how many recipients are under way, at most."""

    recipients = most = 0

    def submit(
        self,
        principal: Principal,
        draft: Draft,
        key: str | None,
        reply: Reply[Committal],
        waited: Waited | None = None,
        trace: str | None = None,
        via: Via = "http",
    ) -> SpanContext | None:
        self.recipients += len(draft.to.users or ())
        self.most = max(self.most, self.recipients)
        return super().submit(principal, draft, key, reply, waited, trace, via)

    async def answer(self, reply: Reply[Committal], deadline: float) -> Committal:
        committal = await super().answer(reply, deadline)
        assert isinstance(committal, Changed)
        self.recipients -= committal.recipients
        return committal


@pytest.mark.parametrize(("recipients", "most"), [(1, 256), (10, 1000), (300, 900), (1000, 1000)])
async def test_as_much_is_under_way_as_one_transaction_takes(tmp_path, recipients, most):
    async with open_publishing(tmp_path, capacity=1000) as (_, services):
        publishing = Watched(services)
        to = Recipients(users=[f"user-{number}" for number in range(recipients)])
        items: list[Item] = [BatchItem(to=to, title="Hello")] * (3000 // recipients)
        outcomes = await publish_all(publishing, SHOP, items, None)
        assert all(isinstance(each, Published) for each in outcomes)
        assert (publishing.recipients, publishing.most) == (0, most)


async def test_a_store_that_is_away_is_each_items_problem(tmp_path: Path):
    async with open_publishing(tmp_path, capacity=1000) as (publishing, services):
        services.status.available = False
        outcomes = await publish_all(publishing, SHOP, [item("x")] * 300, None)
        services.status.available = True
    codes = {each.problem.code for each in outcomes if isinstance(each, Refused)}
    assert (len(outcomes), codes) == (300, {"store_unavailable"})
