"""Escalation in the words of its users: posts with plans, addresses, claims and settlements."""

from __future__ import annotations

from typing import Any

from tests.persistence.desk_kit import START_OF_TIME, Desk, publish
from tocsin.persistence.store.commands import Changed, Done, Publish
from tocsin.persistence.store.escalation_commands import (
    ClaimSends,
    Escalate,
    Escalated,
    SendLine,
    SendsClaimed,
    SetAddress,
    SettledSend,
    SettleSends,
)
from tocsin.persistence.store.queries import ListSends
from tocsin.protocol.channels.escalation import EscalationStep

MINUTE = 60_000
DUE = START_OF_TIME + MINUTE
MAIL = EscalationStep(after=60, channel="email")
MAIL_UNLESS_READ = EscalationStep(after=60, channel="email", unless="read")
PUSH_AT_ONCE = EscalationStep(after=0, channel="webpush")


def escalating(*users: str, plan: tuple[EscalationStep, ...] = (MAIL,), **fields: Any) -> Publish:
    made = publish(*users, **fields)
    return Publish(made.content, made.users, made.credential, None, made.deliver_at, False, plan)


async def post(desk: Desk, *users: str, **fields: Any) -> str:
    changed = await desk.one(escalating(*users, now_ms=desk.now_ms, **fields), Changed)
    return changed.content.id


async def address(desk: Desk, user: str, channel: str = "email", name: str = "main", **more: Any):
    value = more.pop("value", f"{user}@example.org")
    command = SetAddress(user, channel, name, value, f"print-{value}", desk.now_ms, 16, **more)
    await desk.one(command, Done)


async def escalate(desk: Desk, now_ms: int = DUE, limit: int = 1000) -> Escalated:
    return await desk.one(Escalate(now_ms, limit), Escalated)


async def claim(desk: Desk, now_ms: int = DUE, *, channel: str = "email", node: str = "a"):
    return await desk.one(ClaimSends(channel, node, now_ms, 100, MINUTE), SendsClaimed)


async def lines(desk: Desk, notification: str) -> list[SendLine]:
    [page] = await desk.read(ListSends(notification, 100))
    return list(page.sends)


def settled(claimed: SendsClaimed, state: str = "sent", node: str = "a", **fields: Any):
    sends = tuple(
        SettledSend(each.id, state, each.attempts, each.attempts, fields.get("next_at", 0), None)
        for each in claimed.sends
    )
    return SettleSends(node, sends, tuple(fields.get("addresses", ())), DUE)
