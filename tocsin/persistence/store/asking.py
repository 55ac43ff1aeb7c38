"""What commands and queries have in common: each says by its type what comes of it."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

R_co = TypeVar("R_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)


class Command(msgspec.Struct, Generic[R_co], frozen=True):
    """A change of the store, with an `R` as its result. Every command is safe to repeat."""


class Query(msgspec.Struct, Generic[A_co], frozen=True):
    """A question to the store, with an `A` as its answer."""
