"""Empties the spool into the store for a command, where no node runs to do it.

As a node would: under the lease, oldest first, and nothing twice (see `drain`). There are no actors
to tell of it. Users are told by the nodes that start later, which read the store.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.actors.spool.drain import LEASE, TAKE_MAX
from tocsin.actors.spool.entries import Spoolable, UnreadableEntry, decode, in_time
from tocsin.actors.spool.refusals import Refusing, letter_of_spooled
from tocsin.persistence.bus import Spool, SpoolEntry
from tocsin.persistence.store import Store, StoreFailed
from tocsin.persistence.store.commands import KeyReused
from tocsin.persistence.store.ingest_commands import BuryMessages, IngestLetter
from tocsin.persistence.store.results import Result


async def store_some(spool: Spool, store: Store, node: str, now_ms: int) -> bool:
    """Store the oldest entries; returns whether *node* could, and not another has the lease.

    An entry that can never be stored is set aside. Raises `BusUnavailable` and `StoreUnavailable`;
    then the entries stay, and may be stored again without harm.
    """
    entries = await spool.take(node, TAKE_MAX, LEASE)
    if entries is None:
        return False
    poison: list[tuple[SpoolEntry, str]] = []
    commands: list[tuple[SpoolEntry, Spoolable]] = []
    for entry in entries:
        try:
            commands.append((entry, in_time(_read(entry), now_ms)))
        except UnreadableEntry as error:
            poison.append((entry, str(error)))
    done: list[str] = []
    letters: list[IngestLetter] = []
    for (entry, command), result in zip(
        commands, await _write(store, [each for _, each in commands]), strict=True
    ):
        if isinstance(result, StoreFailed):
            poison.append((entry, str(result)))
        elif isinstance(result, KeyReused):
            poison.append((entry, "idempotency_key_reused"))
        else:
            done.append(entry.id)
        if isinstance(result, Refusing):
            letter = letter_of_spooled(command, result, now_ms)
            letters += () if letter is None else (letter,)
    if letters:
        await store.write([BuryMessages(tuple(letters), moved=True)])
    if poison:
        await spool.poison(node, poison)
    if done:
        await spool.done(node, done)
    return True


def _read(entry: SpoolEntry) -> Spoolable:
    if entry.fault:
        raise UnreadableEntry(f"not of this cluster: {entry.fault}")
    return decode(entry.payload)


async def _write(store: Store, commands: Sequence[Spoolable]) -> Sequence[Result | StoreFailed]:
    if not commands:
        return []
    try:
        return await store.write(commands)
    except StoreFailed as error:
        if len(commands) == 1:
            return [error]
    # One of them is refused, and it takes the others with it: each by itself.
    return [each for command in commands for each in await _write(store, [command])]
