"""Sightings, which nodes tell operators who look on, and the envelopes that carry them.

A node of a cluster whose spectators want to see the others says `Spectating` now and then. A node
that hears that takes sightings for a while, and says what it took, once a second, in a `Sighted`
on a channel that only nodes with spectators hear.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

SIGHTINGS_CHANNEL: Final = "s"
"""The bus's channel of `Sighted`."""


class Sight(StrEnum):
    """The kinds of sightings."""

    COMMITTED = "committed"
    PUSHED = "pushed"
    RESENT = "resent"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    DEAD = "dead"
    CONNECTED = "connected"
    ENDED = "ended"


class Sighting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that a node did *at* this time (Unix ms); *detail* is the transport of a device,
    the reason of an end, or the outcome of a commit."""

    at: int
    kind: Sight
    notification: str | None
    user: str | None
    device: str | None
    detail: str | None


class Spectating(msgspec.Struct, frozen=True, array_like=True, tag=17, gc=False):
    """On `c`: an operator looks on at this node, at all users or at one *user* before others."""

    user: str | None


class Sighted(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """On `s`: how often each kind of thing happened on this node in the second until *at* (Unix
    ms), some of these *sightings*, and the node's last *sample*, by column."""

    at: int
    counts: dict[str, int]
    sightings: tuple[Sighting, ...]
    sample: dict[str, float]


class ActorsSought(msgspec.Struct, frozen=True, array_like=True, tag=19, gc=False):
    """On `c`: *node* is to show its tree of actors, as the answer to the question *number*, with
    *limit* children per supervisor at most."""

    node: str
    number: int
    limit: int


class ActorsShown(msgspec.Struct, frozen=True, array_like=True, tag=20, gc=False):
    """On `s`: the *tree* (MessagePack) for which *asker* has asked by the question *number*."""

    asker: str
    number: int
    tree: bytes


Onlooking = Spectating | Sighted | ActorsSought | ActorsShown
"""The envelopes for operators who look on."""
