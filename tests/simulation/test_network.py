"""A connection that breaks in silence: which of its two ends learns of it, and how."""

from __future__ import annotations

import math

import pytest

from simulation.world.chance import Chance
from simulation.world.network import Connection
from simulation.world.scheduling import Process
from simulation.world.timeline import Timeline
from tocsin.server.door.limits import USER_TIMEOUT


@pytest.mark.parametrize(
    ("kernel_gives_up", "left"), [(True, [USER_TIMEOUT]), (False, [])], ids=["kernel", "proxy"]
)
def test_a_node_learns_of_a_silent_break_by_bytes_that_go_unacknowledged(kernel_gives_up, left):
    timeline, learned = Timeline(), []
    connection = Connection(
        timeline,
        Chance(1),
        Process("a", died=lambda: None),
        outbound_bytes_max=1 << 20,
        heard=lambda what, sent_at: None,
        ended=lambda: None,
        kernel_gives_up=kernel_gives_up,
    )
    connection.serve(left=lambda: learned.append(timeline.now))
    connection.cut(client_notices=True, node_notices=False)
    connection.offer(b": still here\n\n")
    connection.offer(b": still here\n\n")

    while timeline.happen(before=math.inf):
        pass

    assert learned == left
    assert connection.is_held is not kernel_gives_up
