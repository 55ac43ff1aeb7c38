"""The answers to an operator who looks: samples of a node, a user, explanations."""

from __future__ import annotations

from tocsin.server.api.answers import Answering, Timestamp


class SampleList(Answering, frozen=True, kw_only=True):
    """Samples of this node, one each *interval* seconds; a row has a value for each column."""

    node: str
    interval: float
    columns: list[str]
    rows: list[list[float]]


class SeenDevice(Answering, frozen=True, kw_only=True):
    """A device as an operator sees it; *node* and *since* are `null` if it is not connected."""

    device: str
    acknowledged: int
    behind: int
    last_seen: Timestamp
    node: str | None
    since: Timestamp | None


class UserLine(Answering, frozen=True, kw_only=True):
    """A user as an operator sees one."""

    user: str
    head: int
    unread: int
    unseen: int
    devices: list[SeenDevice]
    presence_known: bool


class DeviceExplanation(Answering, frozen=True, kw_only=True):
    """A sentence about one device."""

    device: str
    says: str


class Explanation(Answering, frozen=True, kw_only=True):
    """Why a user's devices do not have a notification, or that they have it."""

    says: str
    devices: list[DeviceExplanation]
