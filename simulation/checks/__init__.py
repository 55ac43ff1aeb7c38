"""The checks: the promises P1 to P8 of the product page as code, one file for each subject.

Each check sees the whole history of a run, and may read the store and look into the nodes.
"""

from __future__ import annotations

from typing import Final

from simulation.checks.acceptance import Acceptance
from simulation.checks.answers import Answers
from simulation.checks.bounds import Bounds
from simulation.checks.brought import Brought
from simulation.checks.check import Check
from simulation.checks.convergence import Convergence
from simulation.checks.counters import Counters
from simulation.checks.durable import Durable
from simulation.checks.holdings import Holdings
from simulation.checks.honesty import Honesty
from simulation.checks.lateness import Lateness
from simulation.checks.ledger import Ledger
from simulation.checks.letters import Letters
from simulation.checks.order import Order
from simulation.checks.presence import Presence
from simulation.checks.queues import Queues
from simulation.checks.quiet import Quiet
from simulation.checks.receipts import Receipts
from simulation.checks.retention import Retention
from simulation.checks.sends import Sends
from simulation.checks.sessions import Sessions
from simulation.checks.single import Single
from simulation.checks.steps import Steps
from simulation.checks.times import Times

ALL: Final[tuple[type[Check], ...]] = (
    Sessions,
    Single,
    Presence,
    Durable,
    Counters,
    Honesty,
    Lateness,
    Times,
    Brought,
    Bounds,
    Answers,
    Quiet,
    Retention,
    Letters,
    Holdings,
    Convergence,
    Acceptance,
    Order,
    Ledger,
    Receipts,
    Queues,
    Steps,
    Sends,
)
"""All checks; a run makes each of them before anything happens."""
