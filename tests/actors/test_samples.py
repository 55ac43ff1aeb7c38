"""Samples of a node: one a second, for a quarter of an hour, and no more."""

from __future__ import annotations

import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.samples import SAMPLES_MAX, Sampler, Samples


async def test_a_sample_is_kept_each_second(autojump_clock):
    samples = Samples()
    began = trio.current_time()
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("sampler", lambda: Sampler(samples, lambda: (trio.current_time() - began,)))
        await pass_time(9.5)
        await tree.stop(lambda name: 1.0)
    assert [round(at) for (at,) in samples.after(-1)] == list(range(10))


def test_the_oldest_make_room():
    samples = Samples()
    for at in range(SAMPLES_MAX + 5):
        samples.keep((float(at),))
    kept = samples.after(-1)
    assert len(kept) == SAMPLES_MAX
    assert kept[0] == (5.0,)


def test_only_what_is_new_is_asked_for():
    samples = Samples()
    for at in range(5):
        samples.keep((float(at),))
    assert samples.after(2) == [(3.0,), (4.0,)]
