"""Escalation: the plan of channels for people whom no device has reached.

A plan has a few steps. Each is due at a time after the delivery, and concerns the recipients who
are not *satisfied* then. Nothing is written when a device acknowledges: whether a step is still
wanted is read from the inbox when it is due, and once more when its send is claimed. (The rejected
alternative cancels steps at each acknowledgment, which every acknowledgment would pay for.)

It is not a language: no branches, no loops, no templates of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refuse

STEPS_MAX: Final = 5
"""Steps of one plan: a person who is still not reached after five attempts needs another system."""
_AFTER_MAX: Final = 7 * 86400.0
"""Seconds: news of a week ago is no escalation."""
_DIGEST_MAX: Final = 86400.0
"""Seconds for which a step may gather: one mail a day."""

CHANNEL_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,31}$"
"""Names of channels and of policies."""
ChannelName = Annotated[str, Meta(pattern=CHANNEL_PATTERN + r"(?!\n)")]
Unless = Literal["delivered", "seen", "read"]


class EscalationStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One step: *after* seconds, by *channel*, to each recipient who is not satisfied (*unless*).

    With *digest*, sends to one address gather for as many seconds, and go out together.
    """

    after: Annotated[float, Meta(ge=0, le=_AFTER_MAX)]
    channel: ChannelName
    unless: Unless = "delivered"
    digest: Annotated[float, Meta(ge=0, le=_DIGEST_MAX)] = 0.0


Steps = Annotated[list[EscalationStep], Meta(min_length=1, max_length=STEPS_MAX)]
Escalate = ChannelName | Literal[False] | Steps
"""A plan as a post names it: steps, the name of a policy, or `false` for none."""
EscalationPlan = tuple[EscalationStep, ...]
NO_PLAN: Final[EscalationPlan] = ()


@dataclass(frozen=True, slots=True)
class EscalationRules:
    """The operator's configuration: the names of *channels*, the *policies* by name, and the
    policy *of_category*, by category. Without channels there is nothing to escalate to."""

    channels: frozenset[str] = frozenset()
    policies: Mapping[str, EscalationPlan] = field(default_factory=dict)
    of_category: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, wanted: Escalate | UnsetType, category: str) -> EscalationPlan | None:
        """The plan of a post of *category* that says *wanted*; `None` if no channel is configured.

        Raises `Refused` (422) for an unknown policy or channel, and for times that descend.
        """
        if wanted is UNSET or wanted is False:
            if not self.channels:
                return None
            name = self.of_category.get(category) if wanted is UNSET else None
            return NO_PLAN if name is None else self.policies[name]
        if isinstance(wanted, str):
            if (policy := self.policies.get(wanted)) is None:
                raise _unknown("$.escalate", f"`{wanted}` is no policy", self.policies)
            return policy
        plan = tuple(wanted)
        self.check(plan)
        return plan

    def check(self, plan: EscalationPlan) -> None:
        """Raise `Refused` unless each step's channel is configured and its time is not earlier than
        that of the step before."""
        for index, step in enumerate(plan):
            where = f"$.escalate[{index}]"
            if step.channel not in self.channels:
                words = f"`{step.channel}` is not configured"
                raise _unknown(f"{where}.channel", words, self.channels)
            if index and step.after < plan[index - 1].after:
                words = "is earlier than the step before"
                raise refuse(
                    "invalid", "Steps are in order of time.", [FieldError(f"{where}.after", words)]
                )


NO_RULES: Final = EscalationRules()


def is_satisfied(unless: str, state: str, delivered_at: int | None) -> bool:
    """Whether a recipient with the inbox *state* needs no step that says *unless*.

    *Delivered* means: a device acknowledged, or it was seen, read or archived anywhere. A state
    that goes further than the word satisfies it, too.
    """
    if unless == "delivered":
        return delivered_at is not None or state != "unseen"
    if unless == "seen":
        return state != "unseen"
    return state not in ("unseen", "seen")


def first_due(plan: EscalationPlan, delivered_at: int) -> int:
    """When (Unix ms) the first step of *plan* is due, if the delivery was at *delivered_at*."""
    return delivered_at + round(plan[0].after * 1000)


def due_after(plan: EscalationPlan, step: int, due_at: int) -> int | None:
    """When the step behind *step*, which was due at *due_at*, is due; `None` behind the last."""
    if step + 1 >= len(plan):
        return None
    return due_at + round((plan[step + 1].after - plan[step].after) * 1000)


def encode_plan(plan: EscalationPlan) -> str:
    """*plan* as the store keeps it, in JSON."""
    return msgspec.json.encode(plan).decode()


def decode_plan(text: str) -> EscalationPlan:
    """The plan in *text*, which `encode_plan` wrote."""
    return msgspec.json.decode(text, type=tuple[EscalationStep, ...])


def _unknown(path: str, words: str, known: Mapping[str, object] | frozenset[str]) -> Refused:
    names = ", ".join(sorted(known)) or "none"
    detail = f"This server can escalate by what is configured: {names}."
    return refuse("unknown_channel", detail, [FieldError(path, words)])
