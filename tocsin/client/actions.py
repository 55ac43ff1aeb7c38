"""The actions of a follower, as values to be carried out in order."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.client.frames import Push


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text on the connection."""

    text: str


@dataclass(frozen=True, slots=True)
class Show:
    """A push that has not been shown before, and its frame as it came."""

    push: Push
    raw: str


@dataclass(frozen=True, slots=True)
class Tell:
    """News about the connection, for people; *raw* if a program has to know it as well."""

    text: str
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The connection is over: come back after *delay* seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Over for good; *trouble* says why, None if it is what was wanted.

    *unauthenticated*: the server does not know the credential; another one might do.
    """

    trouble: str | None = None
    unauthenticated: bool = False


Action = Send | Show | Tell | Wait | Stop
