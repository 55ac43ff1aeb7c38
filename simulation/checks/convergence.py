"""One state everywhere (P5): at the end each device shows what the store has for its user.

A device that never asked for everything shows what changed since it began. What it was given up on
(a dead letter) it need not show, and what has expired it may go on showing: nobody tells it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from simulation.checks.check import Check
from simulation.devices import Device
from simulation.history import Frame, SessionStory

_INBOX: Final = """
    SELECT i.notification_id, i.sequence, i.state, n.revision, n.expires_at, d.dead_reason
    FROM inbox AS i
    JOIN notifications AS n ON n.id = i.notification_id
    LEFT JOIN deliveries AS d ON d.notification_id = i.notification_id
        AND d.user_id = i.user_id AND d.device_id = ?
    WHERE i.user_id = ?
"""


class _Row(NamedTuple):
    id: str
    sequence: int
    state: str
    revision: int
    expires_at: int | None
    dead_reason: str | None

    @property
    def is_told(self) -> bool:
        """Whether a device that is there must have been told of it as it is now."""
        return self.expires_at is None and self.dead_reason is None


class Convergence(Check):
    """See the module."""

    def settled(self) -> str | None:
        for device in self.cluster.devices:
            if device.session is None or not self._is_live(device.session.story):
                return f"{device.who} is not there"
            for wrong in self._wrong_with(device):
                return f"{device.who} {wrong}"
        return None

    def finish(self) -> None:
        for device in self.cluster.devices:
            for wrong in self._wrong_with(device):
                self.violated("P5", device.who, wrong)

    # --- Inside ----------------------------------------------------------------------------------

    def _wrong_with(self, device: Device) -> Iterator[str]:
        rows = self.cluster.store.rows(_INBOX, device.name, device.user)
        inbox = {row[0]: _Row(*row) for row in rows}
        for wrong in (self._missing(device, inbox), self._miscounted(device, inbox)):
            if wrong is not None:
                yield wrong

    def _missing(self, device: Device, inbox: Mapping[str, _Row]) -> str | None:
        """Wherein *device* shows something else than the store has."""
        screen = device.screen
        for row in inbox.values():
            shown = screen.shown.get(row.id)
            if shown is not None:
                told = _difference(shown, row)
                if told is not None and row.is_told:
                    return told
            elif (
                row.is_told
                and row.state != "withdrawn"
                and screen.since is not None
                and row.sequence > screen.since
            ):
                return f"does not show {row}, which changed since {screen.since}"
        for id_ in screen.shown:
            if id_ not in inbox:
                return f"shows {id_}, which {device.user} does not have"
        return None

    def _is_live(self, story: SessionStory) -> bool:
        """Whether the process that it is connected to still runs: the device may not know."""
        return self.cluster.hosts[story.host].process_number == story.process

    def _miscounted(self, device: Device, inbox: Mapping[str, _Row]) -> str | None:
        rows = self.cluster.store.rows(
            "SELECT unread, unseen FROM users WHERE user_id = ?", device.user
        )
        counters: Any = device.screen.counters
        if rows and counters is not None and tuple(counters) != rows[0]:
            return f"was told {counters}, and the store has {rows[0]}"
        return None


def _difference(shown: Frame, row: _Row) -> str | None:
    notification = shown["notification"]
    seen = notification["state"], notification["revision"]
    if seen == (row.state, row.revision):
        return None
    return f"shows {row.id} as {seen} of {shown['sequence']}, the store has {row}"
