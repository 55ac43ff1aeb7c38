"""The other nodes: who is heard, who is missing, and what their clocks show."""

from __future__ import annotations

import random

import pytest

from tocsin.actors.cluster.peers import Peers


class World:
    """Our clock, and peers that know of it with delays."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.peers = Peers(3.0, 120.0, lambda: self.now)

    def hear(self, peer: str, difference: float, delay: float) -> None:
        """*peer*'s clock is behind ours by *difference*; its word took *delay* seconds."""
        self.peers.alive(peer, self.now - difference - delay)


def test_a_peer_is_heard_then_missing_then_forgotten():
    world = World()
    world.hear("b", 0, 0)
    assert (world.peers.audible, world.peers.missing) == (1, 0)
    world.now += 3.1
    assert (world.peers.audible, world.peers.missing) == (0, 1)
    world.now += 118
    world.peers.forget_dead()
    assert (world.peers.audible, world.peers.missing) == (0, 0)


def test_a_node_that_says_goodbye_is_not_missed():
    world = World()
    world.hear("b", 0, 0)
    world.peers.left("b")
    world.peers.left("c")
    world.now += 10
    assert world.peers.missing == 0


@pytest.mark.parametrize("difference", [-500.0, 0.0, 86_400.0])
def test_the_time_of_a_peer_is_told_in_ours_whatever_the_delays(difference):
    world, chance = World(), random.Random(3)
    for _ in range(100):
        world.hear("b", difference, 0.002 + chance.expovariate(2))
        world.now += 1
    world.hear("b", difference, 30.0)  # it stood still, and its words waited
    event = world.now - 12.0

    told = world.peers.our_time("b", event - difference, world.now - difference - 7.0)

    assert told == pytest.approx(event, abs=0.1)


def test_clocks_that_part_are_followed():
    world = World()
    for beat in range(100_000):
        world.hear("b", beat * 1e-4, 0.001)
        world.now += 1
    difference = 100_000 * 1e-4

    told = world.peers.our_time("b", world.now - difference, world.now - difference)

    assert told == pytest.approx(world.now, abs=0.05)


def test_of_a_peer_that_was_not_heard_before_the_word_itself_tells_the_time():
    world = World()
    assert world.peers.our_time("b", 40.0, 50.0) == 990.0
