"""The capacity model: what a load needs, and which part is full first.

All is arithmetic on constants, and each is linear in the load. So a result is as good as its
constants, and as far from measured as the load is from the benchmarks'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from bench.capacity_constants import Constants

DAY: Final = 86_400  # seconds
MONTH_HOURS: Final = 730
"""Hours of a month, as providers count."""


@dataclass(frozen=True, slots=True)
class Load:
    """*rate* acknowledged deliveries a second to *clients* that are connected; a notification has
    *fan_out* recipients, and is kept for *retention* days."""

    rate: float = 1e6
    clients: float = 100e6
    fan_out: float = 1
    retention: float = 90


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines, used to the share *use*; prices in a currency of your own, for a month.

    *core*, *gib* (memory), *disk* (a GB) and *traffic* (a GB that leaves) are round prices of large
    providers, meant to be replaced.
    """

    use: float = 0.6
    postgres_cores: int = 16
    standbys: int = 1
    core: float = 25.0
    gib: float = 3.0
    disk: float = 0.1
    traffic: float = 0.02


@dataclass(frozen=True, slots=True)
class Need:
    """What the load takes of one thing; *how* says the arithmetic."""

    name: str
    amount: float
    unit: str
    how: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A part that there is once: *used* is the share of it that the load takes, 1 = full."""

    name: str
    used: float
    how: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The needs of a load, and the limits, the fullest first."""

    needs: tuple[Need, ...]
    limits: tuple[Limit, ...]

    def amount(self, name: str) -> float:
        """How much is needed of *name*. Raises `KeyError`."""
        return {each.name: each.amount for each in self.needs}[name]

    @property
    def breaks_first(self) -> Limit:
        """The part that is full first as the load grows in all its numbers."""
        return self.limits[0]


def plan(load: Load, constants: Constants, machines: Machines | None = None) -> Plan:
    """What *load* needs of *machines*, and what is full first."""
    return _Sum(load, constants, machines or Machines()).plan()


def largest_rate(load: Load, constants: Constants, machines: Machines | None = None) -> float:
    """The rate of deliveries at which one Postgres or one Redis is full, all else as in *load*."""
    still = plan(replace(load, rate=0.0), constants, machines)
    busy = plan(load, constants, machines)
    idle = {each.name: each.used for each in still.limits}
    rates = [
        load.rate * max(0.0, 1 - idle[each.name]) / (each.used - idle[each.name])
        for each in busy.limits
        if each.used > idle[each.name]
    ]
    return min(rates, default=math.inf)


class _Sum:
    def __init__(self, load: Load, constants: Constants, machines: Machines) -> None:
        self._load = load
        self._constants = constants
        self._machines = machines

    def plan(self) -> Plan:
        needs = (*self._of_nodes(), *self._of_postgres(), *self._of_redis(), *self._of_networks())
        amounts = {each.name: each.amount for each in needs}
        money = self._money(amounts)
        limits = sorted(self._limits(amounts), key=lambda each: -each.used)
        return Plan((*needs, *money), tuple(limits))

    def _value(self, name: str) -> float:
        return self._constants[name].value

    def _cost(self, part: str) -> float:
        """The cost of *part* for a delivery: of its own, and its share of the notification's.

        Measured are 1 recipient and very many; what a notification costs once is the difference.
        """
        alone, shared = self._value(f"{part}, unicast"), self._value(f"{part}, fan-out")
        return shared + (alone - shared) / max(1.0, self._load.fan_out)

    def _cores(self, per_second: float, microseconds: float) -> float:
        return per_second * microseconds * 1e-6 / self._machines.use

    def _of_nodes(self) -> list[Need]:
        load, value = self._load, self._value
        delivering = self._cores(load.rate, self._cost("node"))
        beats = self._cores(2 * load.clients / value("heartbeat"), value("heartbeat frame"))
        looks = self._looks("node", self._primaries)
        busy = delivering + beats + looks
        nodes = float(max(math.ceil(busy), math.ceil(load.clients / self._places), 1))
        canaries = self._cores(nodes * nodes, value("canary"))
        memory = load.clients * value("memory of a connection") / 2**20
        return [
            Need("nodes", nodes, "", "one core each; by cores or by connections"),
            Need("node cores, deliveries", delivering, "cores", "rate times the cost in a node"),
            Need("node cores, heartbeats", beats, "cores", "2 frames a heartbeat of a client"),
            Need("node cores, looks", looks, "cores", "footprints, and heads of all each 15 min"),
            Need("node cores, canaries", canaries, "cores", "each node hears each, once a second"),
            Need("memory of connections", memory, "GiB", "clients times a connection"),
        ]

    def _looks(self, part: str, databases: int) -> float:
        """The cores of *part* for looks, of nodes that each read what one of *databases* has.

        Each node reads all names in footprints, up to `names of a look`; beyond, it looks at the
        heads of all its users.
        """
        load, value = self._load, self._value
        readers = max(1.0, load.clients / self._places)
        footprint, head = value(f"footprint, {part}"), value(f"head, {part}")
        names = load.rate / databases
        names_max = value("names of a look") / value("look")
        reading = self._cores(readers * min(names, names_max), footprint)
        often = value("look") if names > names_max else value("thorough look")
        return reading + self._cores(load.clients / often, head)

    @property
    def _primaries(self) -> int:
        """How many databases the deliveries take."""
        load, machines = self._load, self._machines
        cores = self._cores(load.rate, self._cost("postgres"))
        by_wal = load.rate * self._cost("WAL") / self._value("commit, WAL")
        return max(1, math.ceil(max(cores / machines.postgres_cores, by_wal)))

    @property
    def _places(self) -> float:
        return self._value("connections of a node")

    def _of_postgres(self) -> list[Need]:
        load = self._load
        cores = self._cores(load.rate, self._cost("postgres"))
        wal, disk = load.rate * self._cost("WAL"), load.rate * self._cost("disk") * DAY
        looks = self._looks("postgres", self._primaries)
        return [
            Need("Postgres cores, deliveries", cores, "cores", "rate times the cost in Postgres"),
            Need("Postgres cores, looks", looks, "cores", "of nodes that each read one database"),
            Need("WAL", wal / 1e6, "MB/s", "rate times the WAL of a delivery"),
            Need("primaries", float(self._primaries), "", "by cores or by WAL"),
            Need("disk a day", disk / 1e9, "GB", "rate times the rows of a delivery"),
            Need("disk", disk * load.retention / 1e9, "GB", "for all of the retention"),
        ]

    def _of_redis(self) -> list[Need]:
        load, value = self._load, self._value
        return [
            Need(
                *("Redis cores", self._cores(load.rate, self._cost("redis"))),
                *("cores", "rate times the cost in Redis; one Redis has one core"),
            ),
            Need(
                "Redis traffic", load.rate * value("redis, traffic") * 8e-9, "Gbit/s", "in and out"
            ),
        ]

    def _of_networks(self) -> list[Need]:
        amount = self._load.rate * self._value("push") * 8e-9
        return [Need("network to clients", amount, "Gbit/s", "rate times a push")]

    def _money(self, amounts: dict[str, float]) -> list[Need]:
        machines, copies = self._machines, 1 + self._machines.standbys
        postgres = amounts["primaries"] * machines.postgres_cores * copies
        # A node has a core of its own, however little of it its connections leave busy.
        cores = amounts["nodes"] + postgres + math.ceil(amounts["Redis cores"])
        gb_out = amounts["network to clients"] / 8 * MONTH_HOURS * 3600
        parts = {
            "money, cores": cores * machines.core,
            "money, memory": amounts["memory of connections"] * machines.gib,
            "money, disk": amounts["disk"] * copies * machines.disk,
            "money, traffic": gb_out * machines.traffic,
        }
        needs = [Need(name, sum_, "a month", "by the prices") for name, sum_ in parts.items()]
        return [*needs, Need("money", sum(parts.values()), "a month", "all of these")]

    def _limits(self, amounts: dict[str, float]) -> list[Limit]:
        machines, value = self._machines, self._value
        deliveries = amounts["Postgres cores, deliveries"]
        looks = self._looks("postgres", 1)
        return [
            Limit(
                *("one Postgres, its cores", (deliveries + looks) / machines.postgres_cores),
                "deliveries and looks, on the cores of one primary",
            ),
            Limit(
                *("one Postgres, its WAL", amounts["WAL"] * 1e6 / value("commit, WAL")),
                "bytes a second of one disk",
            ),
            Limit("one Redis", amounts["Redis cores"], "wake-ups, on one core"),
            Limit(
                *("a node's core, canaries", amounts["node cores, canaries"] / amounts["nodes"]),
                "signs of life of all nodes, on one node's core",
            ),
        ]


def machine_rate(
    nodes: int, node: float, beside: float, clients: float, *, cores: int, full_node: float
) -> float:
    """Deliveries a second of *nodes* on one machine of *cores*, which holds all else too.

    A delivery costs *node* µs in the nodes, *beside* µs in Postgres and Redis, and *clients* µs in
    the one process that has all clients. A node is full at the share *full_node* of a core.
    """
    total = node + beside + clients
    return 1e6 * min(nodes * full_node / node, cores / total, 1 / clients)
