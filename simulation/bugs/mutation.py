"""A seeded bug: one function of the product, replaced for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Original = Callable[..., Any]
"""The function that is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """Replaces *attribute* of *owner* by what *patch* makes of it; see `mutants`.

    *faults* are the rates of faults per minute (others do not happen), *plan* the fields in which
    the plan of its runs differs. A check has to find the bug *within* so many runs.
    """

    name: str
    owner: Any
    attribute: str
    patch: Callable[[Any], Any]
    faults: dict[str, float] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    within: int = 10

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the bug into the product, until the context ends."""
        original = getattr(self.owner, self.attribute)
        setattr(self.owner, self.attribute, self.patch(original))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, original)
