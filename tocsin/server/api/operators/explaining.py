"""Why a notification did not reach a user's device: sentences, from what the store and nodes know.

Pure: the facts come in, sentences go out. An operator reads them at night, so each says what is the
case, since when, and what happens next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tocsin.persistence.bus import Connected
from tocsin.persistence.store.queries import Delivery, DeviceInfo, InboxItem, ProducerView
from tocsin.protocol.values import to_rfc3339


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about one notification and one user.

    *view* is `None` for a notification that is not known, *item* for one that is not in the user's
    inbox; *connected* is `None` if the other nodes cannot be asked.
    """

    view: ProducerView | None
    item: InboxItem | None
    devices: Sequence[DeviceInfo]
    lines: Mapping[str, Delivery]
    """The ledger's lines of the user, by device."""
    connected: Mapping[str, Connected] | None


def explain(facts: Facts) -> str:
    """The sentence about the notification and the user as a whole."""
    if facts.view is None:
        return (
            "There is no such notification: its id is wrong, it is kept in the spool and not yet "
            "stored, or it was purged after its retention."
        )
    if facts.view.standing == "scheduled":
        return "It is scheduled, and goes to nobody before its time."
    if facts.item is None:
        return (
            "It is not in the user's inbox: it was not addressed to the user, the user was not in "
            "its topic then, had its category disabled, or it was purged."
        )
    if facts.view.standing in ("withdrawn", "expired"):
        return f"It was {facts.view.standing}, so no device is sent it any more."
    if not facts.devices:
        return "It is in the user's inbox, and no device of the user was ever connected."
    if all(_has(each, facts.lines) for each in facts.devices):
        return "All known devices of the user have it."
    return "It is in the user's inbox; some devices do not have it yet."


def explain_device(device: DeviceInfo, facts: Facts) -> str:
    """The sentence about one *device*. Call it only if the notification is in the inbox."""
    assert facts.item is not None
    line = facts.lines.get(device.device)
    if line is not None:
        return _ledger_says(line, device, facts)
    if device.acknowledged >= facts.item.created_sequence:
        return (
            "Its cursor is past it, and the ledger has no line: the device came with this cursor, "
            "or it first connected when the notification was already behind its start."
        )
    behind = facts.item.created_sequence - device.acknowledged
    return f"It has not been sent to it: {behind} changes before it come first. " + _where(
        device, facts
    )


def _ledger_says(line: Delivery, device: DeviceInfo, facts: Facts) -> str:
    times = "once" if line.attempts == 1 else f"{line.attempts} times"
    first = to_rfc3339(line.first_sent_at)
    match line.outcome:
        case "acknowledged" if line.acknowledged_at is not None:
            return f"It acknowledged it at {to_rfc3339(line.acknowledged_at)}; sent {times}."
        case "dead":
            reason = line.reason or "no reason was given"
            return f"It was given up after it had been sent {times} ({reason}): see dead letters."
        case "expired" | "withdrawn":
            return (
                f"It was sent {times}, first at {first}, and was {line.outcome} before an answer."
            )
        case _:
            return f"It was sent {times}, first at {first}, without an answer yet. " + _where(
                device, facts
            )


def _where(device: DeviceInfo, facts: Facts) -> str:
    """Where the device is now, and what happens next."""
    if facts.connected is None:
        return "Whether it is connected cannot be said: the other nodes cannot be asked."
    if (here := facts.connected.get(device.device)) is not None:
        since = to_rfc3339(here.since)
        return f"It is connected to {here.node} since {since}, and is sent it in turn."
    seen = to_rfc3339(device.last_seen)
    return f"It is not connected; it was last seen at {seen}, and is sent it when it comes back."


def _has(device: DeviceInfo, lines: Mapping[str, Delivery]) -> bool:
    line = lines.get(device.device)
    return line is not None and line.outcome == "acknowledged"
