"""Scripts about API keys and tickets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, assert_never

from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.store import StoreFailed
from tocsin.persistence.store.commands import Done, NotFound, TooMany
from tocsin.persistence.store.key_commands import (
    ApiKey,
    BindTicket,
    CreateKey,
    CreateTicket,
    RevokeKey,
    RevokeTickets,
    StoredTicket,
    TakeTicket,
)
from tocsin.persistence.store.results import Result

_KEYS_INSERT: Final = pick("id", "hash", "name", "created_at", "revoked_at")
_TICKETS_INSERT: Final = pick(
    "hash", "expires_at", "principal_expires_at", user_id="user", device_id="device"
)

KeyCommand = CreateKey | RevokeKey | CreateTicket | TakeTicket | BindTicket | RevokeTickets


def change_keys(commands: Sequence[tuple[int, KeyCommand]], results: list[Result]) -> Script[None]:
    """Run *commands* kind by kind, so that a key or ticket is made before it is revoked or taken.

    Raises `StoreFailed` if another key has the id of a new one.
    """
    if not commands:
        return
    created: list[ApiKey] = []
    tickets: list[tuple[int, CreateTicket]] = []
    revoked: list[tuple[int, RevokeKey]] = []
    taken: list[tuple[int, TakeTicket]] = []
    bound: list[tuple[int, BindTicket]] = []
    users: list[str] = []
    for index, command in commands:
        results[index] = Done()
        match command:
            case CreateKey():
                created.append(command.key)
            case RevokeKey():
                revoked.append((index, command))
            case CreateTicket():
                tickets.append((index, command))
            case TakeTicket():
                taken.append((index, command))
            case BindTicket():
                bound.append((index, command))
            case RevokeTickets(user=user):
                users.append(user)
            case _:
                assert_never(command)
    yield from _create_keys(created)
    yield from _revoke_keys(revoked, results)
    yield from _create_tickets(tickets, results)
    yield from _take_tickets(taken, results)
    yield from _bind_tickets(bound, results)
    yield from run("tickets_of_users", user_id=sorted(set(users)))


def _create_keys(keys: Sequence[ApiKey]) -> Script[None]:
    by_id = {key.id: key for key in keys}
    rows = yield from run(
        "keys_insert",
        **_KEYS_INSERT(by_id.values()),
        scopes=[" ".join(key.scopes) for key in by_id.values()],
    )
    stored = {row.id: row.hash for row in rows}
    for key in keys:
        if stored[key.id] != key.hash:
            raise StoreFailed(f"there is another API key with the id {key.id}")


def _revoke_keys(revoked: Sequence[tuple[int, RevokeKey]], results: list[Result]) -> Script[None]:
    first = {command.id: command.now_ms for _, command in reversed(revoked)}
    rows = yield from run("keys_revoke", id=list(first), at=list(first.values()))
    known = {row.id for row in rows}
    for index, command in revoked:
        if command.id not in known:
            results[index] = NotFound()


def _create_tickets(
    commands: Sequence[tuple[int, CreateTicket]], results: list[Result]
) -> Script[None]:
    now = {command.ticket.user: command.now_ms for _, command in commands}
    users = sorted(now)
    yield from run("tickets_forget", user_id=users, now=[now[user] for user in users])
    of_streams = [command.ticket for _, command in commands if command.ticket.device is not None]
    devices = sorted({(each.user, each.device) for each in of_streams})
    yield from run(
        "tickets_of_devices",
        user_id=[user for user, _ in devices],
        device_id=[device for _, device in devices],
    )
    counts = yield from _count_tickets(commands, users)
    tickets = []
    for index, command in commands:
        user = command.ticket.user
        if counts[user] >= command.tickets_max:
            results[index] = TooMany(command.tickets_max)
        else:
            counts[user] += 1
            tickets.append(command.ticket)
    yield from run("tickets_insert", **_TICKETS_INSERT(tickets))


def _count_tickets(
    commands: Sequence[tuple[int, CreateTicket]], users: Sequence[str]
) -> Script[dict[str, int]]:
    """The number of tickets of each of *users*, after tickets of streams have made room.

    Tickets of streams live for a day, and a page may ask for a new one whenever it is loaded.
    Without the removal the user would be refused for the rest of the day.
    """
    rows = yield from run("tickets_count", user_id=users)
    counts: dict[str, int] = {row.user_id: row.tickets for row in rows}
    wanted = Counter(command.ticket.user for _, command in commands)
    allowed = {command.ticket.user: command.tickets_max for _, command in commands}
    excess = {user: counts[user] + wanted[user] - allowed[user] for user in users}
    crowded = [user for user in users if excess[user] > 0]
    rows = yield from run(
        "tickets_make_room",
        user_id=crowded,
        excess=[min(excess[user], counts[user]) for user in crowded],
    )
    for row in rows:
        counts[row.user_id] -= 1
    return counts


def _take_tickets(taken: Sequence[tuple[int, TakeTicket]], results: list[Result]) -> Script[None]:
    rows = yield from run("tickets_take", hash=list({command.hash for _, command in taken}))
    tickets = {row.hash: _ticket_of_row(row) for row in rows}
    missing = sorted({command.hash for _, command in taken} - tickets.keys())
    kept = yield from run("tickets_find", hash=missing)
    of_streams = {row.hash: _ticket_of_row(row) for row in kept}
    for index, command in taken:
        # pop: the second command for a ticket in this batch finds nothing, as in a later batch.
        found = tickets.pop(command.hash, None) or of_streams.get(command.hash)
        results[index] = found or NotFound()


def _bind_tickets(bound: Sequence[tuple[int, BindTicket]], results: list[Result]) -> Script[None]:
    first = {command.hash: command.origin for _, command in reversed(bound)}
    rows = yield from run("tickets_bind", hash=list(first), origin=list(first.values()))
    tickets = {row.hash: _ticket_of_row(row) for row in rows}
    for index, command in bound:
        results[index] = tickets.get(command.hash) or NotFound()


def _ticket_of_row(row: Row) -> StoredTicket:
    return StoredTicket(
        hash=row.hash,
        user=row.user_id,
        expires_at=row.expires_at,
        principal_expires_at=row.principal_expires_at,
        device=row.device_id,
        origin=row.origin,
    )
