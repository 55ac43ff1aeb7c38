"""The script of a write: many commands, one transaction.

Commands of a kind are gathered and run together, kind after kind. The order of the batch is kept
within a kind, and for commands about one device. Otherwise it need not be kept, because all clients
of a batch wait at the same time, and none can tell in which order the others were served. So a
device that attaches sees all notifications that are published in its batch, also by later commands;
it may or may not see acknowledgments of other devices.

Changes of logs come first. Then those users are brought up to date whose logs are looked at by
other commands: a device that attaches gets notifications published to a topic in the same batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import Any, Final

from tocsin.persistence.scripts.addresses import change_addresses
from tocsin.persistence.scripts.devices import acknowledge, attach, remove_devices
from tocsin.persistence.scripts.escalating import escalate
from tocsin.persistence.scripts.footprints import keep_footprints, leaving
from tocsin.persistence.scripts.ingest import change_ingest, note_accepted
from tocsin.persistence.scripts.keys import change_keys
from tocsin.persistence.scripts.ledger import ends_in, record
from tocsin.persistence.scripts.limits import LIMITS, ScriptLimits
from tocsin.persistence.scripts.logs.change import change_logs
from tocsin.persistence.scripts.marks import mark_inboxes
from tocsin.persistence.scripts.outgoing_letters import settle_send_letters
from tocsin.persistence.scripts.purge import purge
from tocsin.persistence.scripts.receipts import append
from tocsin.persistence.scripts.sends import claim_sends, settle_sends
from tocsin.persistence.scripts.settle_letters import settle_letters
from tocsin.persistence.scripts.sinks import change_sinks
from tocsin.persistence.scripts.statements import Script
from tocsin.persistence.scripts.topics.bring import bring_up_to_date, users_of
from tocsin.persistence.scripts.topics.subscriptions import change_subscriptions
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Done, Publish, Update, Withdraw
from tocsin.persistence.store.escalation_commands import (
    ClaimSends,
    Escalate,
    MuteChannel,
    RemoveAddress,
    SetAddress,
    SettleSends,
)
from tocsin.persistence.store.footprints import BeginLife, ForgetFootprints
from tocsin.persistence.store.ingest_commands import (
    BuryMessages,
    SetConnector,
    SettleIngest,
)
from tocsin.persistence.store.key_commands import (
    BindTicket,
    CreateKey,
    CreateTicket,
    RevokeKey,
    RevokeTickets,
    TakeTicket,
)
from tocsin.persistence.store.letter_commands import SettleSendLetter
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.sink_commands import (
    ChangeSink,
    ClaimSinks,
    CreateSink,
    DeclareSink,
    DeleteSink,
    FollowReceipts,
    SaveProgress,
    SettleSinkLetter,
)
from tocsin.persistence.store.upkeep_commands import (
    DiscardLetter,
    Expire,
    Purge,
    Release,
    ReplayLetter,
)
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    Attach,
    MarkInbox,
    Materialise,
    Record,
    RemoveDevice,
    SetPreferences,
    SetTopic,
    Subscribe,
    Unsubscribe,
)
from tocsin.protocol.receipts.receipt import Facts

_LOGS: Final = (Publish, Update, Withdraw, Expire, Release)
_SUBSCRIPTIONS: Final = (Subscribe, Unsubscribe, SetPreferences)
_LETTERS: Final = (ReplayLetter, DiscardLetter)
_KEYS: Final = (CreateKey, RevokeKey, CreateTicket, TakeTicket, BindTicket, RevokeTickets)
_INGEST: Final = (BuryMessages, SettleIngest, SetConnector)
_ADDRESSES: Final = (SetAddress, RemoveAddress, MuteChannel)
_SINKS: Final = (
    *(CreateSink, DeclareSink, ChangeSink, DeleteSink, FollowReceipts, ClaimSinks, SaveProgress),
    SettleSinkLetter,
)
_FOOTPRINTS: Final = (BeginLife, ForgetFootprints)
_OF_DEVICES: Final = (Record, Acknowledge, Attach, RemoveDevice)
"""In the order in which they run."""
_AFTER_RECORDS: Final = _OF_DEVICES[1:]


class _Gathered:
    """Commands that can run together, each with its place in the batch, where its result goes."""

    def __init__(self) -> None:
        self._kinds: dict[type[Command[Any]], list[tuple[int, Command[Any]]]] = defaultdict(list)
        self._phases: dict[tuple[str, str], int] = {}

    def takes(self, command: Command[Any]) -> bool:
        """Whether *command* would run after all gathered commands about its devices."""
        phase = _phase(command)
        # The second attach of a device goes on from the first, so one group cannot have both.
        latest = phase - 1 if isinstance(command, Attach) else phase
        return all(self._phases.get(device, -1) <= latest for device in _devices(command))

    def add(self, index: int, command: Command[Any]) -> None:
        self._kinds[type(command)].append((index, command))
        for device in _devices(command):
            self._phases[device] = _phase(command)

    def add_all(self, commands: Sequence[Command[Any]]) -> None:
        """Add the whole batch, where nothing in it has to wait for anything else."""
        for index, command in enumerate(commands):
            self._kinds[type(command)].append((index, command))

    def are_all(self, *kinds: type[Any]) -> bool:
        """Whether there are commands of these *kinds* alone."""
        return self._kinds.keys() <= set(kinds)

    def of(self, *kinds: type[Any]) -> list[tuple[int, Any]]:
        """The commands of these *kinds*, in the order of the batch."""
        found = [self._kinds[kind] for kind in kinds if kind in self._kinds]
        if len(found) > 1:
            return list(merge(*found, key=itemgetter(0)))
        return found[0] if found else []


def write(
    commands: Sequence[Command[Any]],
    epoch: str,
    limits: ScriptLimits = LIMITS,
    *,
    footprints: bool = False,
    few: bool = False,
) -> Script[list[Result]]:
    """Run *commands*; their results, in the same order. *epoch* is the store's.

    With *footprints* the transaction leaves one, for other nodes on this store. *few* says that the
    dialect has the statement `publish_few`.
    """
    script = _write(commands, epoch, limits, few=few)
    return leaving(script) if footprints else script


def _write(
    commands: Sequence[Command[Any]], epoch: str, limits: ScriptLimits, *, few: bool
) -> Script[list[Result]]:
    results: list[Result] = [Done()] * len(commands)
    facts: Facts = []
    lines = [each for each in commands if isinstance(each, Record)]
    if len(lines) == len(commands):
        # The fast path for ledger lines alone, as in most transactions of a node with little load.
        records = list(enumerate(lines))
        yield from record(records, ends_in(records), results, facts)
        yield from append(facts)
        return results
    for gathered in _gather(commands):
        of = gathered.of
        arrivals, records = of(Attach), of(Record)
        ends = ends_in(records)
        changes = of(*_SUBSCRIPTIONS, SetTopic)
        logs, looking = of(*_LOGS), of(Attach, MarkInbox, Materialise, *_SUBSCRIPTIONS)
        looked_at = {user for _, command in looking for user in users_of(command)}
        yield from change_logs(logs, results, looked_at, facts, limits, few=few)
        note_accepted(logs, results, facts)
        if gathered.are_all(*_LOGS, Record):
            # As most transactions are; the other steps would each find out that they have nothing.
            yield from record(records, ends, results, facts)
            continue
        brought = yield from bring_up_to_date(looking, results, limits, locked=bool(logs))
        yield from mark_inboxes(of(MarkInbox), results, facts, limits)
        yield from change_subscriptions(changes, results, brought, limits)
        yield from record(records, {} if arrivals else ends, results, facts)
        yield from acknowledge(of(Acknowledge), results, limits)
        yield from attach(arrivals, ends, results, brought, epoch, limits)
        yield from remove_devices(of(RemoveDevice), results)
        yield from settle_letters(of(*_LETTERS), results)
        yield from change_addresses(of(*_ADDRESSES), results)
        yield from settle_sends(of(SettleSends), results, facts)
        yield from settle_send_letters(of(SettleSendLetter), results)
        # Behind all acknowledgments and marks of this transaction: who is satisfied by them is.
        yield from escalate(of(Escalate), results)
        yield from claim_sends(of(ClaimSends), results)
        yield from purge(of(Purge), results)
        yield from change_keys(of(*_KEYS), results)
        yield from change_ingest(of(*_INGEST), results, facts)
        yield from change_sinks(of(*_SINKS), results, facts)
        yield from keep_footprints(of(*_FOOTPRINTS), results)
    yield from append(facts)
    return results


def _gather(commands: Sequence[Command[Any]]) -> Iterator[_Gathered]:
    """The commands in groups: usually one; more if a device attaches and then does more."""
    gathered = _Gathered()
    if not any(isinstance(command, _AFTER_RECORDS) for command in commands):
        # Finding the devices of thousands of ledger lines would cost a tenth of the batch.
        gathered.add_all(commands)
        yield gathered
        return
    for index, command in enumerate(commands):
        if not gathered.takes(command):
            yield gathered
            gathered = _Gathered()
        gathered.add(index, command)
    yield gathered


def _phase(command: Command[Any]) -> int:
    kind = type(command)
    return _OF_DEVICES.index(kind) if kind in _OF_DEVICES else -1


def _devices(command: Command[Any]) -> set[tuple[str, str]]:
    """The devices that *command* is about, if it is about any."""
    if isinstance(command, Record):
        lines = {(line.user, line.device) for line in command.deliveries}
        lines |= {(end.user, end.device) for end in command.ends}
        return lines | {(cursor.user, cursor.device) for cursor in command.cursors}
    if isinstance(command, Acknowledge | Attach | RemoveDevice):
        return {(command.user, command.device)}
    return set()
