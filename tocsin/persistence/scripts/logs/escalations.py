"""Plans of escalation begin in the transaction that publishes, or move as notifications collapse.

A plan is one row, whatever the number of recipients. A withdrawal or an expiry leaves it: it ends
when its next step is due. So none of them asks whether there is a plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.persistence.scripts.logs.admission import PublishAdmission
from tocsin.persistence.scripts.logs.plan import Outcome, Plan
from tocsin.persistence.scripts.statements import Script, run
from tocsin.protocol.channels.escalation import EscalationPlan, encode_plan, first_due


def begin_escalations(
    admission: PublishAdmission, outcomes: Mapping[int, list[Outcome]], plan: Plan
) -> Script[None]:
    """Keep the plans of the new publishes; a notification that was renewed begins anew."""
    begun: dict[str, tuple[int, EscalationPlan, int]] = {}
    renewed: list[str] = []
    for index, publish in admission.publishes.items():
        if publish.escalation is None:
            continue
        [outcome] = outcomes[index]
        content = outcome.content
        if content.id != publish.content.id:
            renewed.append(content.id)
            begun.pop(content.id, None)
        if publish.escalation:
            delivered_at = publish.deliver_at or publish.content.created_at
            due_at = first_due(publish.escalation, delivered_at)
            begun[content.id] = (content.revision, publish.escalation, due_at)
    moved = plan.renewed
    ended = sorted({*renewed, *moved.values()})
    yield from run("escalations_delete", notification_id=ended)
    yield from run("sends_end", notification_id=ended)
    if moved:
        targets = [plan.held[target] for target in moved.values()]
        yield from run(
            "escalations_move",
            notification_id=list(moved),
            target=list(moved.values()),
            revision=[held.content.revision for held in targets],
        )
    ids = sorted(begun)
    yield from run(
        "escalations_save",
        notification_id=ids,
        revision=[begun[id_][0] for id_ in ids],
        steps=[encode_plan(begun[id_][1]) for id_ in ids],
        due_at=[begun[id_][2] for id_ in ids],
    )
