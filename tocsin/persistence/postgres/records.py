"""Rows of statements as asyncpg makes them, with the columns of the heading as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import asyncpg


def record_class(name: str, columns: Sequence[str]) -> type[asyncpg.Record]:
    """A class of records whose attributes are *columns*, in their order.

    asyncpg makes its records of this class at no extra cost. (Turning each of a thousand rows into
    a named tuple would cost some percent of a fan-out.)
    """
    attributes = {column: property(itemgetter(place)) for place, column in enumerate(columns)}
    return type(name, (asyncpg.Record,), {"__slots__": (), **attributes})
