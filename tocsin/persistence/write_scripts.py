"""The script of a write: many commands, one transaction.

Commands of a kind are gathered and run together, kind after kind, in the order in which locks are
taken (`log_scripts`). Within the log commands, and within what concerns one device, the order of
the batch is kept; across them it need not be, because all askers of a batch wait at the same time
and none can tell in which order the others were served. So a device that attaches sees what is
published in its batch, also by later commands, and may or may not see what other devices
acknowledge there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from tocsin.persistence.device_scripts import attach, record
from tocsin.persistence.key_scripts import KeyCommand, change_keys
from tocsin.persistence.log_plan import LogCommand
from tocsin.persistence.log_scripts import change_logs
from tocsin.persistence.statements import Script
from tocsin.persistence.store import (
    Attach,
    Command,
    CreateKey,
    CreateTicket,
    Done,
    Expire,
    Publish,
    Purge,
    Record,
    Result,
    RevokeKey,
    TakeTicket,
    Update,
    Withdraw,
)


class _Gathered:
    """Commands that can run together, by kind, each with its place in the batch."""

    def __init__(self) -> None:
        self.logs: list[tuple[int, LogCommand]] = []
        self.records: list[tuple[int, Record]] = []
        self.attachments: list[tuple[int, Attach]] = []
        self.keys: list[tuple[int, KeyCommand]] = []
        self.attached: set[tuple[str, str]] = set()

    def concerns(self, command: Command) -> bool:
        """Whether *command* is about a device that attaches here, so it has to come later."""
        if not self.attached:
            return False
        if isinstance(command, Attach):
            return (command.user, command.device) in self.attached
        if isinstance(command, Record):
            lines = {(line.user, line.device) for line in command.deliveries}
            cursors = {(cursor.user, cursor.device) for cursor in command.cursors}
            return not self.attached.isdisjoint(lines | cursors)
        return False

    def add(self, index: int, command: Command) -> None:
        match command:
            case Publish() | Update() | Withdraw() | Expire():
                self.logs.append((index, command))
            case Record():
                self.records.append((index, command))
            case Attach():
                self.attachments.append((index, command))
                self.attached.add((command.user, command.device))
            case CreateKey() | RevokeKey() | CreateTicket() | TakeTicket() | Purge():
                self.keys.append((index, command))
            case _:
                assert_never(command)


def write(commands: Sequence[Command], epoch: str) -> Script[list[Result]]:
    """Run *commands*; their results, in the same order."""
    results: list[Result] = [Done()] * len(commands)
    for gathered in _gather(commands):
        if gathered.logs:
            yield from change_logs(gathered.logs, results)
        if gathered.records:
            yield from record(gathered.records, results)
        if gathered.attachments:
            yield from attach(gathered.attachments, results, epoch)
        if gathered.keys:
            yield from change_keys(gathered.keys, results)
    return results


def _gather(commands: Sequence[Command]) -> Iterator[_Gathered]:
    """One group in the normal case; more where a device attaches and then does something else."""
    gathered = _Gathered()
    for index, command in enumerate(commands):
        if gathered.concerns(command):
            yield gathered
            gathered = _Gathered()
        gathered.add(index, command)
    yield gathered
