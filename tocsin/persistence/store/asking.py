"""The base classes of commands and queries: each names the type of its result or answer."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

R_co = TypeVar("R_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)


class Command(msgspec.Struct, Generic[R_co], frozen=True):
    """A change of the store, whose result is an `R`. Every command is safe to repeat."""


class Query(msgspec.Struct, Generic[A_co], frozen=True):
    """A question to the store, whose answer is an `A`."""
