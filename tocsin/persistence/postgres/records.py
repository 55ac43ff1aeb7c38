"""Rows of statements as asyncpg makes them, with the columns of the heading as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import asyncpg


def record_class(name: str, columns: Sequence[str]) -> type[asyncpg.Record]:
    """A kind of record whose attributes are *columns*, by their order.

    asyncpg makes records of it where it would have made its own, at no cost. (To turn each of a
    thousand rows into a named tuple would be some percent of what a fan-out costs.)
    """
    attributes = {column: property(itemgetter(place)) for place, column in enumerate(columns)}
    return type(name, (asyncpg.Record,), {"__slots__": (), **attributes})
