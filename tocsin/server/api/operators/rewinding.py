"""Rewinding a sink of receipts, of either kind, to a time."""

from __future__ import annotations

from typing import Any

from tocsin.persistence.store.receipt_queries import ReceiptsSince
from tocsin.protocol.instants import parse_instant
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import refuse
from tocsin.server.api.operation import Call


async def position_since(call: Call[Any, Any], since: str) -> int:
    """The position in front of all receipts *since* an instant (RFC 3339), as far as they are kept.

    Raises `Refused`. Cancelling does no harm.
    """
    try:
        at = parse_instant(since)
    except ValueError as error:
        raise refuse("invalid", f"`since` {error}.", [FieldError("$.since", str(error))]) from None
    return await call.services.read(ReceiptsSince(at))
