"""Scripts that change user logs and topic logs: publish, update, withdraw, expire, release.

A batch of them is one piece of work in six steps, whatever the number of commands:

1. *admit* new commands: claim idempotency keys and names, insert notifications (`admission`);
2. *hold* the notifications that commands name, that are due, or that may collapse: lock them and
   their recipients' users, and read the recipients' states (`locking`);
3. *plan* the effect of each command in memory, in the order of the commands (`plan`);
4. *advance* every user's head and counters by the sum of it, which locks the users' rows and
   gives out sequences;
5. *settle*: go through the plan again, now with sequences, and write the inbox;
6. *append* to the logs of topics, whose rows are held for the shortest time (`topic_heads`).

A batch of nothing but posts to users takes a shorter way (`publish_plain`).

The number of statements is constant because each head advances once, by a sum, before the single
entries are numbered. The commands keep their order all the same: a user's sequences follow it, and
each command finds the notifications as the commands before have left them.

Every transaction takes its locks in one order, so that there are no deadlocks: idempotency keys,
collapse keys, notifications, users, inbox rows, topics, ledger lines, devices; within each kind,
sorted. Notifications that are due (expiries, schedules) and locked by another transaction are left
to that. States are read under the users' locks, so that the counters change by the states as they
really are. A user's subscriptions and preferences change under the lock of the user's row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, assert_never

from tocsin.persistence.scripts.bury_letters import undelivered
from tocsin.persistence.scripts.limits import ScriptLimits
from tocsin.persistence.scripts.logs import publish_plan
from tocsin.persistence.scripts.logs.admission import PublishAdmission, admit, answer
from tocsin.persistence.scripts.logs.escalations import begin_escalations
from tocsin.persistence.scripts.logs.locking import hold
from tocsin.persistence.scripts.logs.plan import Held, Numbered, Outcome, Plan, Slot, Step
from tocsin.persistence.scripts.logs.publish_plain import are_plain, publish_plain
from tocsin.persistence.scripts.logs.topic_heads import append_to_topics
from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.persistence.store.commands import FanOut, Publish, Update, Withdraw
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Expired, Release, Released
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import Change, Standing, State
from tocsin.protocol.receipts.receipt import Fact, Facts, ReceiptKind

_INBOX_SAVE: Final = pick("sequence", "change", "state", "anew")
_NOTIFICATIONS_SAVE: Final = pick(
    "id", "revision", "category", "updated_at", "expires_at", "document", "priority"
)

Places = Mapping[str, list[int]]
"""Each user's [head, unread, unseen], moved from entry to entry."""


def change_logs(
    commands: Sequence[Numbered],
    results: list[Result],
    looked_at: Collection[str],
    facts: Facts,
    limits: ScriptLimits,
    *,
    few: bool = False,
) -> Script[None]:
    """Run *commands* and put each result in its place in *results*; *few* as in `write`.

    The users *looked_at*, whose logs later steps of this transaction read, are locked together with
    those of *commands*: locking users in two steps could be in two orders, and so deadlock.
    """
    if not commands:
        return
    if not looked_at and are_plain(commands):
        yield from publish_plain(commands, results, few=few)
        return
    admission = yield from admit(commands, results)
    if admission.done:
        commands = [each for each in commands if each[0] not in admission.done]
    plan, claimed = yield from hold(commands, admission, looked_at, limits.recipients_max)
    _plan(commands, plan, admission, results)
    places = yield from _advance(plan.outcomes)
    new = [user for user, place in places.items() if place[0] == 0]
    yield from _settle(commands, plan.outcomes, places, facts)
    yield from append_to_topics(plan.outcomes, new)
    yield from _save(plan, claimed)
    outcomes: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in plan.outcomes:
        outcomes[outcome.number].append(outcome)
    if plan.renewed or admission.escalates:
        yield from begin_escalations(admission, outcomes, plan)
    yield from answer(admission, outcomes, results)
    yield from _answer(commands, outcomes, results)


def _plan(
    commands: Sequence[Numbered], plan: Plan, admission: PublishAdmission, results: list[Result]
) -> None:
    """Plan the effect of each command; commands without one get their results at once."""
    for number, command in commands:
        match command:
            case Publish(content=content):
                if (new := admission.admitted.get(number)) is not None:
                    publish_plan.publish(plan, number, new, content.created_at)
            case Release():
                publish_plan.release(plan, number, command)
            case Expire():
                plan.expire(number, command)
            case Update():
                results[number] = plan.update(number, command) or results[number]
            case Withdraw():
                results[number] = plan.withdraw(number, command) or results[number]
            case _:
                assert_never(command)


# --- Advance and settle -------------------------------------------------------------------------


def _advance(outcomes: Sequence[Outcome]) -> Script[dict[str, list[int]]]:
    """Advance all heads and counters; each user's [head, unread, unseen] *before* that."""
    sums: dict[str, list[int]] = {}
    for outcome in outcomes:
        for step in outcome.steps:
            taken, at = step.taken, step.at
            for user, (unread, unseen) in zip(step.users, step.deltas, strict=False):
                if (total := sums.get(user)) is None:
                    sums[user] = [taken, unread, unseen, at]
                else:
                    total[0] += taken
                    total[1] += unread
                    total[2] += unseen
                    total[3] = max(total[3], at)
    users = sorted(sums)
    if not sums:
        return {}
    taken_of, unread_of, unseen_of, changed_at = zip(*[sums[user] for user in users], strict=True)
    rows = yield from run(
        "users_advance",
        user_id=users,
        taken=taken_of,
        unread=unread_of,
        unseen=unseen_of,
        changed_at=changed_at,
    )
    # Unpacked, not by name, which is slower: a publish to a thousand users has a thousand rows.
    for user, head, unread_now, unseen_now in rows:
        total = sums[user]
        sums[user] = [head - total[0], unread_now - total[1], unseen_now - total[2]]
    return sums


class _Move(NamedTuple):
    """The new place of an inbox row in its user's log, and its new state, or `None` to keep it.

    *anew* says that a command of the batch made the row unseen again; that holds even if a later
    command has changed it further.
    """

    sequence: int
    change: Change
    state: str | None
    anew: bool


class _Rows:
    """The inbox rows that a batch writes: new ones, and new places of existing ones."""

    def __init__(self) -> None:
        # A row may change several times in a batch; only its last place is written.
        self.created: dict[tuple[str, str], int] = {}
        self.changes: dict[tuple[str, str], _Move] = {}
        self.expired: list[tuple[str, int]] = []

    def add(self, step: Step, positions: Collection[Position]) -> None:
        id_ = step.content.id
        if step.change is Change.CREATED:
            for position in positions:
                self.created[id_, position.user] = position.sequence
            if self.changes:
                # A user who lost it earlier in this batch, to another notification with its
                # collapse key, gets it anew.
                for position in positions:
                    self.changes.pop((id_, position.user), None)
        elif step.taken:
            for position in positions:
                pair = (id_, position.user)
                state, anew = step.state, step.state == State.UNSEEN
                if (earlier := self.changes.get(pair)) is not None:
                    state, anew = state or earlier.state, anew or earlier.anew
                self.changes[pair] = _Move(position.sequence, step.change, state, anew)
        else:
            self.expired.append((id_, step.at))

    def write_moved(self) -> Script[None]:
        """Write the new rows, and the new places of existing ones."""
        yield from run(
            "inbox_insert",
            notification_id=[notification for notification, _ in self.created],
            user_id=[user for _, user in self.created],
            sequence=list(self.created.values()),
        )
        if self.changes:
            yield from run(
                "inbox_save",
                **_INBOX_SAVE(self.changes.values()),
                notification_id=[notification for notification, _ in self.changes],
                user_id=[user for _, user in self.changes],
            )

    def write_expired(self) -> Script[None]:
        yield from run(
            "inbox_expire",
            notification_id=[id_ for id_, _ in self.expired],
            at=[at for _, at in self.expired],
        )


def _settle(
    commands: Sequence[Numbered], outcomes: Sequence[Outcome], places: Places, facts: Facts
) -> Script[None]:
    """Number the entries and write the inbox rows."""
    rows = _Rows()
    for outcome in outcomes:
        if (entry := outcome.entry) is not None and entry.change == Standing.EXPIRED:
            facts.append(Fact(ReceiptKind.EXPIRED, entry.notification, None, entry.at))
        for step in outcome.steps:
            positions = _positions(step, places)
            rows.add(step, positions)
            if step.taken:
                fan_out = FanOut(step.content, step.change, positions, step.states)
                outcome.fan_outs.append(fan_out)
    yield from rows.write_moved()
    if rows.expired:
        letters = any(isinstance(each, Expire) and each.dead_letters for _, each in commands)
        yield from undelivered(dict(rows.expired), facts, letters=letters)
        yield from rows.write_expired()


def _positions(step: Step, places: Places) -> tuple[Position, ...]:
    taken = step.taken
    positions = []
    for user, (unread, unseen) in zip(step.users, step.deltas, strict=False):
        place = places[user]
        place[0] += taken
        place[1] += unread
        place[2] += unseen
        positions.append(Position(user, place[0], place[1], place[2]))
    return tuple(positions)


# --- Save and answer ----------------------------------------------------------------------------


def _save(plan: Plan, claimed: Mapping[Slot, str]) -> Script[None]:
    """Write the changed notifications, collapse keys and schedules."""
    changed: list[Held] = [each for each in plan.held.values() if not each.saved]
    if changed:
        yield from run(
            "notifications_save",
            **_NOTIFICATIONS_SAVE([each.content for each in changed]),
            standing=[each.standing for each in changed],
            recipients=[each.addressed for each in changed],
        )
    moved = {slot: id_ for slot, id_ in plan.slots.items() if claimed.get(slot) != id_}
    if moved:
        yield from run(
            "collapsing_save",
            collapse_key=[key for key, _, _ in moved],
            topic=[topic for _, topic, _ in moved],
            user_id=[user for _, _, user in moved],
            notification_id=list(moved.values()),
        )
    yield from run("schedule_delete", notification_id=plan.settled)
    yield from run("notifications_delete", id=plan.absorbed)


def _answer(
    commands: Sequence[Numbered], outcomes: Mapping[int, list[Outcome]], results: list[Result]
) -> Script[None]:
    expiry = release = None
    if any(isinstance(command, Expire) for _, command in commands):
        rows = yield from run("notifications_next_expiry")
        expiry = rows[0].expires_at if rows else None
    if any(isinstance(command, Release) for _, command in commands):
        rows = yield from run("schedule_next")
        release = rows[0].deliver_at if rows else None
    for index, command in commands:
        done = outcomes.get(index, [])
        if isinstance(command, Expire):
            topics = {each.entry.topic for each in done if each.entry is not None}
            users = _recounted(done)
            results[index] = Expired(len(done), expiry, tuple(sorted(topics)), users)
        elif isinstance(command, Release):
            results[index] = Released(tuple([each.changed() for each in done]), release)
        elif done:
            [outcome] = done
            results[index] = outcome.changed()


def _recounted(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The users whose counters were changed by *outcomes*."""
    users = {
        user
        for outcome in outcomes
        for step in outcome.steps
        for user, delta in zip(step.users, step.deltas, strict=True)
        if any(delta)
    }
    return tuple(sorted(users))
