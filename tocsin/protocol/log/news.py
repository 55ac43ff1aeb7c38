"""News: committed changes as plain values.

A change that the store has committed is told in one form, whichever node committed it and over
whichever transport it was asked for:

    result ─ news_of ─┬─ dispatch ─────────────── user actors, topics, scheduler of this node
                      └─ envelopes ─ bus ─ news ─ dispatch, on every other node that it concerns

So one function decides what a change means to the users who are online (`Announcer.dispatch`), and
a session does not know whether its own node has committed an entry or another one.

News save their readers a look at the store, or wake them to make one; the truth is in the store. So
they may be lost, come twice or come late. On the node that has committed they come in the order of
commits.
"""

from __future__ import annotations

import msgspec


class Position(msgspec.Struct, frozen=True, gc=False):
    """One recipient's place for a change: its sequence, and the counters after it."""

    user: str
    sequence: int
    unread: int
    unseen: int


class RecipientState(msgspec.Struct, frozen=True, gc=False):
    """One recipient's state of a notification; times in Unix milliseconds."""

    state: str
    seen_at: int | None
    read_at: int | None


class SharedPart(msgspec.Struct, frozen=True, array_like=True):
    """The part of a change that all its recipients share; *expires_at* in Unix milliseconds."""

    notification: str
    change: str
    document: str
    expires_at: int | None


class LogAppended(msgspec.Struct, frozen=True):
    """The log of each user of *positions* has a new entry; the change is the same for all.

    *states* (user → state) lists the recipients whose state after the change is neither `unseen`
    nor, for a withdrawal, `withdrawn`. The notification's actor waits for the acknowledgments of a
    change that is *awaited*.
    """

    shared: SharedPart
    positions: tuple[Position, ...]
    states: dict[str, RecipientState]
    awaited: bool = False


class LogAdvanced(msgspec.Struct, frozen=True):
    """The log of *user* has reached *head*; the new entries have to be read."""

    user: str
    head: int


class CountersChanged(msgspec.Struct, frozen=True):
    """Notifications of *users* have expired: the counters are others, the logs are the same."""

    users: tuple[str, ...]


class TopicAppended(msgspec.Struct, frozen=True):
    """The log of *topic* has a new entry."""

    topic: str


class TopicJoined(msgspec.Struct, frozen=True):
    """*users* are in *topic* from now on."""

    topic: str
    users: tuple[str, ...]


class UserAttached(msgspec.Struct, frozen=True):
    """A device of *user* has attached to this node; the user is or was in *topics*."""

    user: str
    topics: tuple[str, ...]


class AckStored(msgspec.Struct, frozen=True):
    """*device* has acknowledged everything *through* a sequence, or *ids*, past its session.

    *session* was the one that the device had open at that moment. An id does not say which change
    of a notification it answers, so it is of no later session: there the same id may stand for a
    change that was sent since.
    """

    user: str
    device: str
    through: int | None
    ids: tuple[str, ...]
    session: str | None


class DeviceForgotten(msgspec.Struct, frozen=True):
    """The store does not know *device* of *user* any more."""

    user: str
    device: str


class ExpirySet(msgspec.Struct, frozen=True):
    """A notification that lives again expires *at* this time (Unix milliseconds)."""

    at: int


News = (
    LogAppended
    | LogAdvanced
    | CountersChanged
    | TopicAppended
    | TopicJoined
    | UserAttached
    | AckStored
    | DeviceForgotten
    | ExpirySet
)
