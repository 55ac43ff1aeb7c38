"""The outbox: it keeps what is to be said within bounds, the oldest first."""

from __future__ import annotations

from tocsin.actors.cluster.outbox import Outbox


def test_an_outbox_drops_the_oldest_and_counts_it():
    outbox = Outbox(envelopes_max=3, bytes_max=100)
    for number in range(5):
        outbox.put("u:ada", bytes([number]))
    assert [said.payload[0] for said, _ in outbox.take()] == [2, 3, 4]
    assert outbox.dropped == 2

    outbox.put("u:ada", bytes(60))
    outbox.put("u:ada", bytes(60))
    assert len(outbox) == 1


def test_an_unpublished_batch_goes_first_next_time_without_its_fleeting_envelopes():
    outbox = Outbox(envelopes_max=3)
    outbox.put("u:ada", b"1")
    outbox.put("u:ada", b"now", fleeting=True)
    batch = outbox.take()
    outbox.put("u:ada", b"2")
    outbox.put("u:ada", b"now", fleeting=True)
    outbox.put_back(batch)
    assert [said.payload for said, _ in outbox.take()] == [b"1", b"2"]


def test_a_round_trip_brings_no_more_than_a_few_megabytes():
    outbox = Outbox()
    for _ in range(100):
        outbox.put("u:ada", bytes(30_000))
    taken = [len(outbox.take()) for _ in range(4)]
    assert sum(taken) == 100
    assert max(taken) == 35
