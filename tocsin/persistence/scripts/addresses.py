"""Scripts of addresses on channels, and of the preferences about these.

Sends to an address are changed before the address itself, everywhere: two transactions that lock
both do so in one order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tocsin.persistence.scripts.statements import Rows, Script, pick, run
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.escalation_commands import (
    Address,
    MuteChannel,
    RemoveAddress,
    SetAddress,
)
from tocsin.persistence.store.queries import Addresses, ListAddresses
from tocsin.persistence.store.results import Result
from tocsin.protocol.channels.preferences import (
    ChannelPreferences,
    decode_preferences,
    encode_preferences,
)

AddressCommand = SetAddress | RemoveAddress | MuteChannel

_REMOVED: Final = "address removed"
_PLACE: Final = pick("channel", "name", user_id="user")
_MOVED: Final = pick("channel", "name", "fingerprint", user_id="user")
_SAVE: Final = pick("channel", "name", "value", "fingerprint", user_id="user", created_at="now_ms")
_SURPLUS: Final = pick("channel", "count_max", user_id="user")


def change_addresses(
    commands: Sequence[tuple[int, AddressCommand]], results: list[Result]
) -> Script[None]:
    """Run *commands* one by one: they are few, and each may undo the one before."""
    for index, command in commands:
        match command:
            case SetAddress():
                yield from _set(command)
                results[index] = Done()
            case RemoveAddress():
                results[index] = yield from _remove(command)
            case MuteChannel():
                yield from _mute(command)
                results[index] = Done()


def addresses(
    queries: Sequence[tuple[int, ListAddresses]], answers: dict[int, Any]
) -> Script[None]:
    """Answer *queries*."""
    rows = yield from run("addresses_list", user_id=sorted({query.user for _, query in queries}))
    found: dict[str, list[Address]] = {}
    for row in rows:
        address = Address(row.channel, row.name, row.value, row.created_at, row.dead_reason)
        found.setdefault(row.user_id, []).append(address)
    for index, query in queries:
        answers[index] = Addresses(tuple(found.get(query.user, ())))


def save_channel_preferences(wanted: Mapping[str, ChannelPreferences]) -> Script[None]:
    """Replace the preferences about channels of each user in *wanted*."""
    empty = sorted(user for user, each in wanted.items() if each.is_empty)
    kept = sorted(wanted.keys() - set(empty))
    yield from run("channel_preferences_delete", user_id=empty)
    yield from run(
        "channel_preferences_save",
        user_id=kept,
        preferences=[encode_preferences(wanted[user]) for user in kept],
    )


def drop_sends(gone: Rows, reason: str = _REMOVED) -> Script[None]:
    """Let the sends be moot that wait for addresses which are *gone*."""
    yield from run(
        "sends_of_dead_address",
        user_id=[row.user_id for row in gone],
        channel=[row.channel for row in gone],
        address=[row.name for row in gone],
        reason=[reason] * len(gone),
    )


def _set(command: SetAddress) -> Script[None]:
    if command.exclusive:
        gone = yield from run("addresses_moved", **_MOVED([command]))
        yield from drop_sends(gone)
    yield from run("addresses_save", **_SAVE([command]))
    gone = yield from run("addresses_surplus", **_SURPLUS([command]))
    yield from drop_sends(gone)


def _remove(command: RemoveAddress) -> Script[Done | NotFound]:
    yield from run(
        "sends_of_dead_address",
        user_id=[command.user],
        channel=[command.channel],
        address=[command.name],
        reason=[_REMOVED],
    )
    gone = yield from run("addresses_delete", **_PLACE([command]), fingerprint=[""])
    return Done() if gone else NotFound()


def _mute(command: MuteChannel) -> Script[None]:
    # The user's row is locked, as by every change of preferences.
    yield from run("users_lock", user_id=[command.user])
    rows = yield from run("channel_preferences_read", user_id=[command.user])
    now = decode_preferences(rows[0].preferences if rows else None)
    of_category = {**now.categories.get(command.category, {}), command.channel: False}
    categories = {**now.categories, command.category: of_category}
    changed = ChannelPreferences(now.channels, categories, now.quiet)
    yield from save_channel_preferences({command.user: changed})
