"""Seals all secrets of the database anew, with the first of several keys, while nodes work on it.

A page of rows is a transaction, and a row is written only if it is still as it was read: what a
node has sealed meanwhile stays. Rows that the first key has sealed are passed over. So it may be
broken off at any point and run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tocsin.persistence.upkeep.forgetting import Hands
from tocsin.protocol.receipts.sink import Secret
from tocsin.protocol.secret_box import (
    SecretBox,
    SecretUnreadable,
    address_context,
    webhook_context,
)

_ADDRESSES: Final = """
SELECT user_id, channel, name, value FROM addresses
WHERE (user_id, channel, name) > ($1, $2, $3) ORDER BY user_id, channel, name LIMIT 500
"""
_ADDRESS: Final = """
UPDATE addresses SET value = $1 WHERE user_id = $2 AND channel = $3 AND name = $4 AND value = $5
"""
_WEBHOOKS: Final = """
SELECT id, secrets FROM sinks WHERE kind = 'webhook' AND id > $1 ORDER BY id LIMIT 500
"""
_WEBHOOK: Final = "UPDATE sinks SET secrets = $1 WHERE id = $2 AND secrets = $3"


@dataclass(slots=True)
class Resealed:
    """The numbers of *addresses* and *webhooks* that were sealed anew, and of those that no key
    opens (*unreadable*), which stay as they are."""

    addresses: int = 0
    webhooks: int = 0
    unreadable: int = 0


async def reseal(hands: Hands, box: SecretBox) -> Resealed:
    """Seal with the first key of *box* what is not; see the module.

    Cancelled, the pages before stay sealed.
    """
    found = Resealed()
    place = ("", "", "")
    while page := await hands.run(_ADDRESSES, *place):
        async with hands.transaction():
            found.addresses += await _reseal_addresses(hands, box, page, found)
        place = (page[-1][0], page[-1][1], page[-1][2])
    last = ""
    while page := await hands.run(_WEBHOOKS, last):
        async with hands.transaction():
            found.webhooks += await _reseal_webhooks(hands, box, page, found)
        last = page[-1][0]
    return found


async def _reseal_addresses(
    hands: Hands, box: SecretBox, page: Sequence[Sequence[Any]], found: Resealed
) -> int:
    count = 0
    for user, channel, name, value in page:
        if box.is_current(value):
            continue
        context = address_context(user, channel, name)
        try:
            sealed = box.seal(box.open(value, context), context)
        except SecretUnreadable:
            found.unreadable += 1
        else:
            await hands.run(_ADDRESS, sealed, user, channel, name, value)
            count += 1
    return count


async def _reseal_webhooks(
    hands: Hands, box: SecretBox, page: Sequence[Sequence[Any]], found: Resealed
) -> int:
    count = 0
    for webhook, text in page:
        secrets = msgspec.json.decode(text, type=list[Secret])
        if all(box.is_current(each.text) for each in secrets):
            continue
        try:
            sealed = list(_resealed(secrets, box, webhook_context(webhook)))
        except SecretUnreadable:
            found.unreadable += 1
        else:
            await hands.run(_WEBHOOK, msgspec.json.encode(sealed).decode(), webhook, text)
            count += 1
    return count


def _resealed(secrets: Sequence[Secret], box: SecretBox, context: str) -> Iterator[Secret]:
    """*secrets*, sealed anew. Raises `SecretUnreadable`."""
    for each in secrets:
        current = box.is_current(each.text)
        text = each.text if current else box.seal(box.open(each.text, context), context)
        yield Secret(text, each.until)
