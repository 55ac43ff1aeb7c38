"""P5, one state everywhere: in the end, devices, store and a model of each inbox agree.

The contents that an inbox must have follow from requests and answers (`inboxes`). A comparison of
devices with the store is not enough: a change that never reached the store is missing in both.

Some differences are allowed. A device that never asked for everything shows only changes since it
began. It need not show a notification that became a dead letter for it. It may go on showing an
expired notification, because expiry is not pushed, and a purged one, with its last state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from simulation.checks.check import Check
from simulation.checks.known.inbox_model import Place
from simulation.checks.known.inboxes import Inboxes
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory, SessionStory, sequence_of
from tocsin.actors.cluster.reconciler import LEISURE

_INBOX: Final = """
    SELECT i.notification_id, i.sequence, i.state, n.revision, n.expires_at, d.dead_reason,
        i.expired_at IS NOT NULL, n.document
    FROM inbox AS i
    JOIN notifications AS n ON n.id = i.notification_id
    LEFT JOIN deliveries AS d ON d.notification_id = i.notification_id
        AND d.user_id = i.user_id AND d.device_id = ?
    WHERE i.user_id = ?
"""
_GIVEN_UP: Final = """
    SELECT 1 FROM deliveries
    WHERE notification_id = ? AND user_id = ? AND device_id = ? AND dead_reason IS NOT NULL
"""
_BEHIND: Final = """
    SELECT s.user_id, s.topic, s.active
    FROM subscriptions AS s
    JOIN topics AS t ON t.topic = s.topic
    WHERE s.position < t.head
"""
_LOOK: Final = LEISURE + 3.0
"""Seconds after which a node has surely looked into the store, and has brought what it found."""
_MANY: Final = 20
"""Attempts, more than any device gets of one notification in a run."""
_SAID: Final = ("title", "body", "category", "priority")


class _Row(NamedTuple):
    id: str
    sequence: int
    state: str
    revision: int
    expires_at: int | None
    dead_reason: str | None
    is_expired: int
    document: str

    @property
    def is_told(self) -> bool:
        """Whether a connected device must have been told of the notification's present state."""
        return self.expires_at is None and self.dead_reason is None

    @property
    def place(self) -> Place:
        return Place(self.state, "expired" if self.is_expired else "")

    def __str__(self) -> str:
        return f"{self.id} as {self.state} of {self.sequence}, revision {self.revision}"


class Convergence(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._inboxes = Inboxes(cluster)
        self._forgotten: dict[tuple[str, str], int | None] = {}
        """Devices that came without a cursor after the store had forgotten them, and the sequence
        at which they began then (`None`: not known yet). They are not told of changes before it."""

    def asked(self, request: RequestStory) -> None:
        self._inboxes.asked(request)

    def answered(self, request: RequestStory) -> None:
        self._inboxes.answered(request)

    def opened(self, session: SessionStory) -> None:
        key = session.user, session.device
        if session.hello == "0":
            self._forgotten.pop(key, None)
        elif session.hello is None and self.may_be_unknown(session):
            self._forgotten[key] = None

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        self._inboxes.heard(session, frame)
        key = session.user, session.device
        if key not in self._forgotten:
            return
        if frame["type"] == "reset" or frame.get("reset"):
            del self._forgotten[key]
        elif frame["type"] in ("welcome", "changes") and self._forgotten[key] is None:
            changes = frame.get("changes")
            self._forgotten[key] = (
                changes[0]["previous"] if changes else sequence_of(frame["cursor"])
            )

    def settled(self) -> str | None:
        for device in self.devices:
            if device.session is None or not self._is_live(device.session.story):
                return f"{device.who} is not there"
            for wrong in self._wrong_with(device):
                return f"{device.who} {wrong}"
        return self._unheard()

    def finish(self) -> None:
        for device in self.devices:
            for wrong in self._wrong_with(device):
                self.violated("P5", device.who, wrong)
        titles = self._titles()
        for user in self.cluster.plan.user_names:
            for wrong in self._impossible(user, titles):
                self.violated("P5", user, wrong)
        for name, wrong in self._inboxes.uncollapsed():
            self.violated("P1", name, wrong)

    def _unheard(self) -> str | None:
        """A user who was not brought an entry of a topic, because the bus may have lost the news of
        it, or the user's device is between two polls.

        The next look into the store finds it (docs/cluster.md), or the next poll; `brought` judges
        how soon a user gets what the bus has not lost.
        """
        kinds = "bus_noisy", "bus_silent"
        is_noisy = self.history.troubles.touch_by(self.now - _LOOK, self.now, "bus", *kinds)
        pausing = {
            device.user
            for device in self.devices
            if device.session is not None and device.session.pauses
        }
        for user, topic, is_active in self.cluster.store.rows(_BEHIND):
            if is_noisy or (is_active and user in pausing):
                return f"{user} was not brought an entry of {topic}"
        return None

    # --- Devices and the store -------------------------------------------------------------------

    def _wrong_with(self, device: Device) -> Iterator[str]:
        rows = self.cluster.store.rows(_INBOX, device.name, device.user)
        inbox = {row[0]: _Row(*row) for row in rows}
        for wrong in (self._missing(device, inbox), self._miscounted(device, inbox)):
            if wrong is not None:
                yield wrong

    def _missing(self, device: Device, inbox: Mapping[str, _Row]) -> str | None:
        """A difference between the screen of *device* and the store, if there is one."""
        screen = device.screen
        untold = self._untold(device)
        for row in inbox.values():
            shown = screen.shown.get(row.id)
            if not row.is_told or row.sequence <= untold:
                continue
            if shown is not None:
                told = _difference(shown, row)
                if told is not None:
                    return told
            elif (
                row.state != "withdrawn"
                and screen.since is not None
                and row.sequence > screen.since
            ):
                return f"does not show {row}, which changed since {screen.since}"
        return None

    def _untold(self, device: Device) -> float:
        """The sequence up to which *device* may have been told nothing, because the store had
        forgotten it; infinite while that sequence is not known."""
        start = self._forgotten.get((device.user, device.name), -math.inf)
        return math.inf if start is None else start

    def _is_live(self, story: SessionStory) -> bool:
        """Whether the session's process still runs; the device may not have noticed its end."""
        return self.cluster.hosts[story.host].process_number == story.process

    def _miscounted(self, device: Device, inbox: Mapping[str, _Row]) -> str | None:
        plan = self.cluster.plan
        if plan.retention or plan.retention_archived or plan.retention_expired:
            # A purge changes the counters but is no entry of a log, so devices are not told.
            return None
        rows = self.cluster.store.rows(
            "SELECT unread, unseen FROM users WHERE user_id = ?", device.user
        )
        counters: Any = device.screen.counters
        if rows and counters is not None and tuple(counters) != rows[0]:
            return f"was told {counters}, and the store has {rows[0]}"
        return None

    # --- Devices and the store beside the model --------------------------------------------------

    def _impossible(self, user: str, titles: Mapping[str, str]) -> Iterator[str]:
        """Places in the store, or states on a screen of *user*, that no order of deeds explains."""
        inbox = {row[0]: _Row(*row) for row in self.cluster.store.rows(_INBOX, "", user)}
        devices = [each for each in self.devices if each.user == user]
        shown = {
            id_: push["notification"]["title"]
            for device in devices
            for id_, push in device.screen.shown.items()
        }
        for id_, title in {**shown, **titles}.items():
            places = self._inboxes.places(id_, title, user, self.now)
            row = inbox.get(id_)
            if not _agrees(None if row is None else row.place, places):
                seen = "nowhere" if row is None else f"{row.place}"
                yield f"has {id_} {seen} in the store, and it must be {_told(places)}"
            if self._inboxes.expires(id_, title):
                continue
            for device in devices:
                if id_ in device.screen.shown:
                    yield from self._wrongly_shown(device, id_, row, places)

    def _wrongly_shown(
        self, device: Device, id_: str, row: _Row | None, places: list[Place]
    ) -> Iterator[str]:
        push = device.screen.shown[id_]
        untold = self._untold(device)
        # A forgotten device may begin before a change that it shows, whose row is purged by then.
        is_untold = push["sequence"] <= untold or (row is None and untold > -math.inf)
        # A device shows an old state of what it was given up on. If the row is gone, so is the
        # record of that, and only the setting says whether it can have happened.
        given_up = self.cluster.store.rows(_GIVEN_UP, id_, device.user, device.name)
        was_given_up = bool(given_up) if row is not None else self.cluster.plan.attempts < _MANY
        state = push["notification"]["state"]
        if not (is_untold or was_given_up or any(place.state == state for place in places)):
            text = f"{device.name} shows {id_} as {state} of {push['sequence']}"
            yield f"{text}, and it must be {_told(places)}"

    def _titles(self) -> dict[str, str]:
        """By id, the title of each notification in the store, which names its post."""
        rows = self.cluster.store.rows(
            "SELECT id, json_extract(document, '$.title') FROM notifications"
        )
        return dict(rows)


def _difference(shown: Frame, row: _Row) -> str | None:
    notification = shown["notification"]
    seen = notification["state"], notification["revision"]
    if seen != (row.state, row.revision):
        return f"shows {row.id} as {seen} of {shown['sequence']}, the store has {row}"
    document = msgspec.json.decode(row.document)
    for name in _SAID:
        if name in notification and notification[name] != document.get(name):
            said = f"{notification[name]!r} as its {name}"
            return f"shows {row.id} with {said}, the store has {document.get(name)!r}"
    return None


def _agrees(seen: Place | None, places: list[Place]) -> bool:
    if seen is None:
        return any(place.state == "absent" or place.end == "purged" for place in places)
    return seen in places


def _told(places: list[Place]) -> str:
    return " or ".join(f"{place.state} {place.end}".strip() for place in places)
