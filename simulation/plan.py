"""What is simulated: how large, how long, and how it is used. Faults are in `faults`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NODES: Final = "abcdefgh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """*nodes* 1 is a node alone, without a bus; times are in virtual seconds.

    Producers post and devices come and go for *duration*, in which faults happen; then all that is
    broken is mended, all devices come, and within *settling* everything has to be as promised.
    """

    seed: int = 0
    nodes: int = 3
    users: int = 10
    devices: int = 2
    """Of each user."""
    producers: int = 3
    posts: float = 2.0
    """A second, of all producers together, on average."""
    duration: float = 60.0
    settling: float = 120.0

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(NODES[: self.nodes])

    @property
    def user_names(self) -> tuple[str, ...]:
        return tuple(f"u{number}" for number in range(self.users))
