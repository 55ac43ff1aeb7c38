"""The checks: the promises P1 to P8 of the product page as code, one file for each subject.

Each check sees the whole history of a run, and may read the store and look into the nodes.
"""

from __future__ import annotations

from typing import Final

from simulation.checks.check import Check
from simulation.checks.devices.brought import Brought
from simulation.checks.devices.durable import Durable
from simulation.checks.devices.lateness import Lateness
from simulation.checks.devices.ledger import Ledger
from simulation.checks.devices.sessions import Sessions
from simulation.checks.devices.single import Single
from simulation.checks.nodes.answers import Answers
from simulation.checks.nodes.bounds import Bounds
from simulation.checks.nodes.convergence import Convergence
from simulation.checks.nodes.counters import Counters
from simulation.checks.nodes.holdings import Holdings
from simulation.checks.nodes.honesty import Honesty
from simulation.checks.nodes.presence import Presence
from simulation.checks.nodes.quiet import Quiet
from simulation.checks.notifications.acceptance import Acceptance
from simulation.checks.notifications.letters import Letters
from simulation.checks.notifications.order import Order
from simulation.checks.notifications.queues import Queues
from simulation.checks.notifications.receipts import Receipts
from simulation.checks.notifications.retention import Retention
from simulation.checks.notifications.sends import Sends
from simulation.checks.notifications.steps import Steps
from simulation.checks.notifications.times import Times

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
