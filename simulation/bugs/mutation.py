"""A bug that is put into the production's code for a run: one function, replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Original = Callable[..., Any]
"""What a bug takes the place of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """*patch* makes of *attribute* of *owner* what stands in its place; see `mutants`.

    *faults* says how often each kind happens in a minute, all others never do; *plan* wherein the
    runs differ from others. It has to be caught *within* so many runs.
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
        """The production with this bug in it."""
        original = getattr(self.owner, self.attribute)
        setattr(self.owner, self.attribute, self.patch(original))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, original)
