"""Does the faults of a schedule to a cluster, and mends them.

Each kind of fault is a method that does it and returns a function that mends it; or `None` if it
finds no victim, such as a node that is down already. The history is told of the victim from the
beginning of the fault until it is mended, so that the checks know what to excuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from simulation.faults.schedule import Fault, Schedule
from simulation.world.cluster import Cluster
from simulation.world.host import Host
from simulation.world.network import Connection

Mend = Callable[[], object]

_CRASHES_APART: Final = 40.0
"""Seconds between two crashes of the same actor; if they came closer together, the supervisor would
be right to give up."""
_ENDS: Final = {
    "both": (True, True),
    "client": (True, False),
    "node": (False, True),
    "neither": (False, False),
}
"""By `Fault.how`: whether the client, and whether the node, notices that a connection is cut."""


class Harm:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._mends: dict[tuple[str, str], Mend] = {}
        self._crashed: dict[tuple[str, str], float] = {}
        self.done: Counter[str] = Counter()
        """By kind, the number of faults that found a victim."""

    def plan(self, schedule: Schedule) -> None:
        """Let each fault of *schedule* happen at its time."""
        for fault in schedule:
            self._cluster.timeline.at(fault.at, self._begin, fault)

    def mend_all(self) -> None:
        """Mend all that is broken."""
        for key in list(self._mends):
            self._mend(key)

    def _begin(self, fault: Fault) -> None:
        key = fault.kind, fault.target
        kind: Callable[[Fault], Mend | None] = getattr(self, f"_{fault.kind}")
        # A second fault of the same kind at the same place is left out: it would be mended with the
        # first.
        mend = None if key in self._mends else kind(fault)
        if mend is None:
            self._cluster.note("fault", f"spared: {fault}")
            return
        self._cluster.note("fault", str(fault).strip())
        self.done[fault.kind] += 1
        self._cluster.history.trouble(_victim(fault), fault.kind)
        self._mends[key] = partial(self._over, fault, mend)
        self._cluster.timeline.after(fault.lasts, self._mend, key, self._mends[key])

    def _mend(self, key: tuple[str, str], only: Mend | None = None) -> None:
        mend = self._mends.get(key)
        if mend is not None and only in (None, mend):
            del self._mends[key]
            mend()

    def _over(self, fault: Fault, mend: Mend) -> None:
        mend()
        self._cluster.note("fault", f"over: {fault.kind} {fault.target}".rstrip())
        self._cluster.history.mended(_victim(fault), fault.kind)

    def _host(self, fault: Fault) -> Host | None:
        """The host that is the victim, if it is up."""
        host = self._cluster.hosts.get(fault.target)
        return host if host is not None and host.is_up else None

    # --- Nodes -----------------------------------------------------------------------------------

    def _killed(self, fault: Fault) -> Mend | None:
        if (host := self._host(fault)) is None:
            return None
        silent = fault.how == "silent"
        if not fault.nth:
            host.kill(silent=silent)
            return host.start
        host.kill_in(fault.nth, silent=silent)
        node = host.node

        def start_again() -> None:
            if node is not None:
                # The process may have taken too few steps to die; or it has ended and another one
                # runs.
                node.process.spare()
            host.start()

        return start_again

    def _stopped(self, fault: Fault) -> Mend | None:
        if (host := self._host(fault)) is None or host.node is None:
            return None
        process = host.node.process
        if process.is_stopped:
            return None
        process.stop()
        return process.go_on

    def _restarted(self, fault: Fault) -> Mend | None:
        if (host := self._host(fault)) is None or host.is_told_to_stop:
            return None
        host.stop()
        self._cluster.timeline.after(1.0, self._start_again, host)

        def no_longer_waiting() -> None:
            # A service manager kills a process that does not stop.
            if host.is_told_to_stop:
                host.kill()
            host.start()

        return no_longer_waiting

    def _start_again(self, host: Host) -> None:
        host.start()
        if host.is_told_to_stop:
            self._cluster.timeline.after(1.0, self._start_again, host)

    def _clock(self, fault: Fault) -> Mend | None:
        if (host := self._host(fault)) is None:
            return None
        host.set_clock(round(fault.amount * 1000))
        return partial(host.set_clock, 0)

    def _crash(self, fault: Fault) -> Mend | None:
        host, now = self._host(fault), self._cluster.timeline.now
        key = fault.target, fault.how
        recent = now - self._crashed.get(key, -_CRASHES_APART) < _CRASHES_APART
        if host is None or host.node is None or recent:
            return None
        self._crashed[key] = now
        doom = host.node.process.doom
        doom[fault.how] = fault.nth
        return partial(doom.pop, fault.how, None)

    # --- The store -------------------------------------------------------------------------------

    def _store_away(self, fault: Fault) -> Mend:
        away = self._cluster.store.health.away
        away[fault.target] = fault.how
        return partial(away.pop, fault.target, None)

    def _store_fails(self, fault: Fault) -> Mend:
        fails = self._cluster.store.health.fails
        fails[fault.target] = fault.nth
        return partial(fails.pop, fault.target, None)

    def _commit_lost(self, fault: Fault) -> Mend:
        loses = self._cluster.store.health.loses
        loses[fault.target] = fault.nth
        return partial(loses.pop, fault.target, None)

    def _store_slow(self, fault: Fault) -> Mend:
        return self._set(self._cluster.store.health, "slow", fault.amount, 0.0)

    def _disk_full(self, fault: Fault) -> Mend:
        return self._set(self._cluster.store.health, "full", True, False)

    # --- The bus ---------------------------------------------------------------------------------

    def _bus_away(self, fault: Fault) -> Mend:
        broker = self._cluster.broker
        broker.lose(fault.target, fault.how)
        return partial(broker.regain, fault.target)

    def _bus_noisy(self, fault: Fault) -> Mend:
        return self._set(self._cluster.broker, fault.how, fault.amount, 0.0)

    def _bus_silent(self, fault: Fault) -> Mend:
        return self._set(self._cluster.broker, "silenced", fault.amount, 0.0)

    def _bus_wiped(self, fault: Fault) -> Mend | None:
        broker = self._cluster.broker
        # The spool is the broker's data, and it is no promise that it survives an operator's
        # FLUSHALL.
        if broker.spooled:
            return None
        broker.wipe()
        return _nothing

    def _deaf(self, fault: Fault) -> Mend | None:
        if (host := self._host(fault)) is None:
            return None
        broker, process = self._cluster.broker, host.bus_name
        broker.deafen(process)
        return partial(broker.cure, process)

    # --- The queues ------------------------------------------------------------------------------

    def _queue_away(self, fault: Fault) -> Mend:
        queues = self._cluster.queues
        mends = [self._set(queue, "away", fault.how, "") for queue in queues]
        return lambda: [mend() for mend in mends]

    def _queue_cut(self, fault: Fault) -> Mend | None:
        for queue in self._cluster.queues:
            queue.cut(fault.target)
        return _nothing

    def _queue_restarted(self, fault: Fault) -> Mend | None:
        for queue in self._cluster.queues:
            queue.restart(fault.amount)
        return _nothing

    # --- The channels ----------------------------------------------------------------------------

    def _carrying(self, fault: Fault) -> Mend | None:
        if (host := self._host(fault)) is None:
            return None
        doomed, history = self._cluster.channels.doomed, self._cluster.history
        away, key = self._cluster.store.health.away, ("store_away", fault.target)
        suffers = "store_away" if fault.how == "loses the store" else "killed"
        has_struck = False

        def doom(when: str) -> None:
            nonlocal has_struck
            if suffers == "store_away" and when == "before" and key not in self._mends:
                away[fault.target] = "refuses"
            elif fault.how == f"dies {when}":
                host.kill()
            else:
                return
            has_struck = True
            history.trouble(fault.target, suffers)

        def mend() -> None:
            doomed.pop(fault.target, None)
            if has_struck:
                # The store may be away by a fault of its own, which lasts longer.
                if suffers == "store_away" and key not in self._mends:
                    away.pop(fault.target, None)
                history.mended(fault.target, suffers)
            host.start()

        doomed[fault.target] = doom
        return mend

    # --- Connections -----------------------------------------------------------------------------

    def _cut(self, fault: Fault) -> Mend:
        client, node = _ENDS[fault.how]
        connections = self._some_connections(fault)
        for connection in connections:
            connection.cut(client_notices=client, node_notices=node)

        def known() -> None:
            for connection in connections:
                connection.give_up()

        return _nothing if client else known

    def _stalled(self, fault: Fault) -> Mend:
        frozen = self._some_connections(fault)
        for connection in frozen:
            connection.freeze()

        def thaw() -> None:
            for connection in frozen:
                connection.thaw()

        return thaw

    # --- Inside ----------------------------------------------------------------------------------

    def _some_connections(self, fault: Fault) -> list[Connection]:
        chance = self._cluster.chance("connections", fault.kind, fault.at)
        connections = self._cluster.hosts[fault.target].connections
        return [each for each in connections if chance.happens(fault.amount)]

    def _set(self, where: object, name: str, value: object, normal: object) -> Mend:
        setattr(where, name, value)
        return partial(setattr, where, name, normal)


def _victim(fault: Fault) -> str:
    """The victim's name in the history."""
    if fault.kind.startswith("queue"):
        return "queue"
    if fault.target:
        return fault.target
    return "bus" if fault.kind.startswith("bus") else "store"


def _nothing() -> None:
    """Mend a fault that was over at once."""
