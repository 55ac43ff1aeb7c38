"""Too much at once for the storage actor: mailboxes fill, and further lines are refused."""

from collections.abc import Callable
from itertools import count

import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.store_kit import FakeStore, Stage, names_written, sent, staged
from tocsin.actors.runtime.errors import MailboxFull
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.persistence.store.key_commands import RevokeKey
from tocsin.persistence.store.queries import FindKey


async def tell_until_full(stage: Stage, message: Callable[[int], StorageMessage]) -> int:
    """How many were accepted before the mailbox refused."""
    for number in count():
        await settle()
        try:
            stage.ref.tell(message(number))
        except MailboxFull:
            return number
    raise AssertionError("never full")


async def test_when_too_much_is_pending_the_mailbox_fills_and_senders_are_refused(autojump_clock):
    async with staged(FakeStore(latency=1), capacity=50, pending_max=100) as stage:
        accepted = await tell_until_full(
            stage, lambda number: Write(command=RevokeKey(str(number), 0))
        )
        # The first is in flight, one more is in the hand of the actor that waits for room.
        assert accepted == 1 + 100 + 1 + 50
        await pass_time(10)
        assert len(names_written(stage.store)) == accepted


async def test_too_many_reads_count_as_well(autojump_clock):
    async with staged(FakeStore(latency=1), capacity=50, pending_max=100) as stage:
        accepted = await tell_until_full(stage, lambda number: Read(query=FindKey(str(number))))
        await pass_time(10)
        assert sum(map(len, stage.store.reads)) == accepted == 1 + 100 + 1 + 50


async def test_a_flood_of_sent_lines_is_written_before_its_time(autojump_clock):
    async with staged(linger=5, lingering_max=100) as stage:
        for number in range(1000):
            stage.note(sent(str(number)))
        await pass_time(0.5)
        assert len(stage.store.lines) == 1000


async def test_when_too_many_lines_wait_further_ones_are_refused(autojump_clock):
    async with staged(FakeStore(latency=1), lines_max=100) as stage:
        await settle()
        now = trio.current_time()
        noted = [stage.ledger.note((sent(str(number)),), None, now) for number in range(150)]
        assert noted == [True] * 100 + [False] * 50
        await pass_time(5)
        assert stage.ledger.note((sent("later"),), None, trio.current_time())
        await pass_time(5)
        assert len(stage.store.lines) == 101
