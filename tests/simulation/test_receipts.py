"""Receipts reach the webhook's receiver whatever becomes of nodes, store, and receiver."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from simulation.bugs.mutations import PLAN
from simulation.faults.schedule import CALM, draw
from simulation.runs.simulator import simulate

WEBHOOK = replace(
    PLAN, webhook=1.0, webhook_trouble=0.4, actions=0.3, duration=30.0, settling=400.0
)


@pytest.mark.parametrize("seed", range(4))
def test_each_fact_is_carried_in_order_though_nodes_die(seed):
    faults = msgspec.structs.replace(CALM, killed=3.0, stopped=3.0, store_away=2.0)
    plan = replace(WEBHOOK, seed=seed)
    verdict = simulate(plan, draw(seed, faults, plan))
    assert verdict.violations == ()
