"""Seeded bugs in sessions and actors, and the list of all seeded bugs.

They are mistakes that are made in real life: a case left out, an order not kept, something said
before it is true. Each function takes the original function and returns the one to replace it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import trio

from simulation.bugs.mutants_of_footprints import OF_FOOTPRINTS
from simulation.bugs.mutants_of_polls import OF_POLLS
from simulation.bugs.mutants_of_presence import OF_PRESENCE
from simulation.bugs.mutants_of_queues import OF_QUEUES
from simulation.bugs.mutants_of_receipts import OF_RECEIPTS
from simulation.bugs.mutants_of_sends import OF_SENDS
from simulation.bugs.mutants_of_store import OF_STORE
from simulation.bugs.mutants_of_upkeep import OF_UPKEEP
from simulation.bugs.mutants_of_wishes import OF_WISHES
from simulation.bugs.mutation import Mutation, Original
from tocsin.actors.cluster.reconciler import Reconciler
from tocsin.actors.delivery.attendance import Attendance, PresenceActor
from tocsin.actors.delivery.drainer import Drainer
from tocsin.actors.delivery.messages import ArrivedElsewhere, HereElsewhere
from tocsin.actors.delivery.user import UserActor
from tocsin.actors.delivery.users import Users
from tocsin.actors.publishing.announcer import Announcer
from tocsin.actors.publishing.notifications import Notifications
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.storage.ledger import Ledger
from tocsin.persistence.bus.memory_presence import MemoryPresence
from tocsin.persistence.scripts import devices as device_scripts
from tocsin.persistence.store.user_commands import Marked
from tocsin.protocol.delivery import session
from tocsin.protocol.delivery.session import DeviceSession
from tocsin.protocol.log.cursor import Start
from tocsin.protocol.log.push import Push

# --- Sessions -------------------------------------------------------------------------------------


def _skip_a_resend(expire: Original) -> Original:
    def skipping(self: DeviceSession, now: float, now_ms: int) -> list[Any]:
        outputs: list[Any] = expire(self, now, now_ms)
        return [each for each in outputs if not (isinstance(each, Push) and each.tries == 2)]

    return skipping


def _push_over_a_gap(live: Original) -> Original:
    def careless(self: DeviceSession, entry: Any, now: float, now_ms: int) -> Push | None:
        if entry.sequence > self.position + 1 and self.synced and not self._fetching:
            self.position = entry.sequence - 1
        pushed: Push | None = live(self, entry, now, now_ms)
        return pushed

    return careless


def _reverse_a_replay(page: Original) -> Original:
    def reversing(self: DeviceSession, entries: Sequence[Any], *rest: Any) -> Any:
        return page(self, list(reversed(list(entries))), *rest)

    return reversing


def _keep_withdrawals_from_those_away(page: Original) -> Original:
    def silent(self: DeviceSession, entries: Sequence[Any], *rest: Any) -> Any:
        return page(self, [each for each in entries if each.change != "withdrawn"], *rest)

    return silent


def _never_expire(_: Original) -> Original:
    return lambda what, now_ms: False


def _believe_all_was_done(_: Any) -> Any:
    return property(lambda self: self.position)


def _forget_the_window(_: Original) -> Original:
    return lambda self: True


def _serve_any_cursor(choose_start: Original) -> Original:
    def trusting(requested: Any, epoch: str, state: Any) -> Start:
        if requested is not None and requested.epoch != epoch:
            return Start(min(requested.sequence, state.head), None, resumed=True)
        chosen: Start = choose_start(requested, epoch, state)
        return chosen

    return trusting


# --- Actors ---------------------------------------------------------------------------------------


def _do_nothing(_: Original) -> Original:
    return lambda *arguments, **named: None


def _write_no_ledger(_: Original) -> Original:
    return lambda *arguments: True


def _never_reconcile(_: Original) -> Original:
    async def idle(self: Reconciler) -> None:
        await trio.sleep_forever()

    return idle


def _announce_no_marks(announce: Original) -> Original:
    def silent(self: Announcer, result: Any) -> None:
        if not isinstance(result, Marked):
            announce(self, result)

    return silent


def _say_no_goodbye(_: Original) -> Original:
    async def curt(self: Drainer, outlets: Sequence[Any]) -> None:
        await trio.lowlevel.checkpoint()

    return curt


def _replace_nobody(tell_named: Original) -> Original:
    def tolerant(self: UserActor, message: Any) -> None:
        if not isinstance(message, ArrivedElsewhere | HereElsewhere):
            tell_named(self, message)

    return tolerant


def _hold_no_leases(_: Original) -> Original:
    async def silent(self: PresenceActor, leases: Sequence[Any]) -> None:
        await trio.lowlevel.checkpoint()

    return silent


_BAD: Final[dict[str, Any]] = {"bad_devices": 1.0}
_QUIET: Final[dict[str, Any]] = {"actions": 0.0, "bad_devices": 0.0}
_DEAF: Final = {"deaf": 4.0, "bus_away": 2.0, "bus_noisy": 2.0}

ALL: Final = (
    Mutation(
        name="skip a resend",
        owner=DeviceSession,
        attribute="expire",
        patch=_skip_a_resend,
        plan=_BAD,
    ),
    Mutation(
        name="push over a gap",
        owner=DeviceSession,
        attribute="live",
        patch=_push_over_a_gap,
        faults=_DEAF,
    ),
    Mutation(
        name="reverse a replay",
        owner=DeviceSession,
        attribute="page",
        patch=_reverse_a_replay,
        plan=_BAD,
    ),
    Mutation(
        name="replay no withdrawals",
        owner=DeviceSession,
        attribute="page",
        patch=_keep_withdrawals_from_those_away,
        plan=_BAD | {"withdrawals": 0.3},
    ),
    Mutation(
        name="push the expired",
        owner=session,
        attribute="has_expired",
        patch=_never_expire,
        plan=_BAD | {"expiries": 0.6},
        within=20,
    ),
    Mutation(
        name="cursor beyond open pushes",
        owner=DeviceSession,
        attribute="cursor",
        patch=_believe_all_was_done,
        plan=_BAD,
    ),
    Mutation(
        name="forget the window",
        owner=DeviceSession,
        attribute="_has_room",
        patch=_forget_the_window,
        plan=_BAD | {"posts": 60.0, "users": 2, "settling": 30.0},
    ),
    Mutation(
        name="serve a foreign cursor",
        owner=device_scripts,
        attribute="choose_start",
        patch=_serve_any_cursor,
        plan=_BAD,
        within=20,
    ),
    Mutation(
        name="leak user actors", owner=Users, attribute="retire", patch=_do_nothing, plan=_BAD
    ),
    Mutation(name="write no ledger", owner=Ledger, attribute="note", patch=_write_no_ledger),
    Mutation(
        name="never reconcile",
        owner=Reconciler,
        attribute="run",
        patch=_never_reconcile,
        faults=_DEAF,
    ),
    Mutation(
        name="deaf without a status",
        owner=Users,
        attribute="bus_changed",
        patch=_do_nothing,
        faults=_DEAF,
    ),
    Mutation(
        name="announce no marks",
        owner=Announcer,
        attribute="__call__",
        patch=_announce_no_marks,
        plan={"posts": 0.5, "actions": 0.3},
    ),
    Mutation(
        name="tell no session what is stored",
        owner=Announcer,
        attribute="_acknowledged",
        patch=_do_nothing,
        plan=_BAD,
    ),
    Mutation(name="no goodbye", owner=Drainer, attribute="_say_goodbye", patch=_say_no_goodbye),
    Mutation(
        name="replace no session elsewhere",
        owner=UserActor,
        attribute="_tell_named",
        patch=_replace_nobody,
        plan=_BAD,
        within=20,
    ),
    Mutation(
        name="keep keys in flight",
        owner=Notifications,
        attribute="answered",
        patch=_do_nothing,
        plan={"calm": 90.0},
    ),
    Mutation(
        name="keep topics of the absent",
        owner=Topics,
        attribute="absent",
        patch=_do_nothing,
        plan=_BAD | {"calm": 90.0, "devices": 1, "subscriptions": 0.4, "posts": 2.0},
    ),
    Mutation(
        name="keep the departed present",
        owner=Attendance,
        attribute="left",
        patch=_do_nothing,
        plan=_BAD,
    ),
    Mutation(
        name="announce no arrivals", owner=PresenceActor, attribute="_hold", patch=_hold_no_leases
    ),
    Mutation(
        name="let leases end by themselves",
        owner=PresenceActor,
        attribute="_release",
        patch=_hold_no_leases,
        plan=_BAD | {"looks": 5.0},
    ),
    Mutation(
        name="leases that do not end",
        owner=MemoryPresence,
        attribute="_forget_ended",
        patch=_do_nothing,
        faults={"killed": 4.0},
        plan={"nodes": 4, "looks": 5.0, "duration": 60.0},
    ),
    Mutation(
        name="trust an answer that was lost",
        owner=Users,
        attribute="recount",
        patch=_do_nothing,
        faults={"commit_lost": 20.0},
        # Few posts, because the next change of a log shows the gap that was left in it.
        plan={"nodes": 1, "posts": 0.5, "users": 10, "duration": 60.0} | _QUIET,
    ),
    Mutation(
        name="announce no expiries",
        owner=Users,
        attribute="recounted",
        patch=_do_nothing,
        # A node alone: others compare the counters with the store, and mend it.
        plan={"posts": 2.0, "nodes": 1},
    ),
    Mutation(
        name="bring no topics",
        owner=Topics,
        attribute="advanced",
        patch=_do_nothing,
        plan={"topics": 0.4},
    ),
    *OF_FOOTPRINTS,
    *OF_POLLS,
    *OF_PRESENCE,
    *OF_QUEUES,
    *OF_SENDS,
    *OF_RECEIPTS,
    *OF_STORE,
    *OF_UPKEEP,
    *OF_WISHES,
)
"""All seeded bugs, by the room of the product."""
