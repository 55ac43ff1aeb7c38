"""Carrying out what the messages of a batch ask for, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tocsin.persistence.store.commands import Replayed
from tocsin.protocol.refusal import Refused
from tocsin.server.auth.principal import Principal
from tocsin.server.connector_status import ConnectorTerms
from tocsin.server.ingest.orders import ChangeOrder, Order, PostOrder
from tocsin.server.producing.batch import PostWindow
from tocsin.server.producing.publishing import Published, Publishing

Readable = Order | Refused
"""The order that a message is, or the reason why it cannot be read."""
Outcome = Published | Refused


def principal_of(terms: ConnectorTerms) -> Principal:
    """The principal as which a connector posts."""
    return Principal(None, frozenset({"notify"}), terms.credential, None)


async def carry_out(
    publishing: Publishing, principal: Principal, orders: Sequence[Readable]
) -> list[Outcome]:
    """Carry out *orders* as *principal*; the outcome of each, in order.

    Posts share the store's transactions. A change waits for the posts before it, which may be those
    of its notification. Cancelled, any of them may have been carried out.
    """
    window = PostWindow(publishing, principal, len(orders))
    for index, order in enumerate(orders):
        match order:
            case PostOrder(draft=draft, key=key, waited=waited):
                await window.submit(index, draft, key, waited)
            case ChangeOrder():
                await window.settle()
                window.outcomes[index] = await _change(publishing, principal, order)
            case Refused():
                window.outcomes[index] = order
    return await window.finish()


async def _change(publishing: Publishing, principal: Principal, order: ChangeOrder) -> Outcome:
    try:
        result = await publishing.change(principal, order.command)
    except Refused as refused:
        return refused
    is_replayed = isinstance(result, Replayed)
    return Published(order.command.notification, "", replayed=is_replayed)


def order_or_refusal(read: Callable[[], Order]) -> Readable:
    """The order that *read* gives, or the refusal that it raises."""
    try:
        return read()
    except Refused as refused:
        return refused
