"""The parts that a load needs, and the one that is full first, computed from measured costs.

Prints a table in Markdown; --html writes a page with charts, which fetches nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import capacity_page
from bench.capacity_constants import Constants, read
from bench.capacity_model import Load, Machines, Plan, largest_rate, plan
from bench.history import HISTORY
from bench.measuring import shown


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments, print the table, and write the page if one is asked for."""
    options = _parser().parse_args(arguments)
    load = Load(options.rate, options.clients, options.fan_out, options.retention)
    machines = Machines(
        options.use,
        options.postgres_cores,
        options.standbys,
        *(options.price_core, options.price_gib, options.price_disk, options.price_traffic),
    )
    constants = read(options.json)
    found = plan(load, constants, machines)
    print(tables(load, constants, machines))
    if options.html is not None:
        options.html.write_text(capacity_page.page(load, found, constants), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="./dev capacity", description=about)
    load, machines = Load(), Machines()

    def number(name: str, default: float, about: str) -> None:
        text = f"{about} [{default:g}]"
        parser.add_argument(name, type=_positive, default=default, metavar="NUMBER", help=text)

    number("--rate", load.rate, "acknowledged deliveries a second")
    number("--clients", load.clients, "clients that are connected")
    number("--fan-out", load.fan_out, "recipients of a notification")
    number("--retention", load.retention, "days for which a notification is kept")
    number("--use", machines.use, "share of each machine that is to be used")
    number("--postgres-cores", machines.postgres_cores, "cores of a primary")
    number("--standbys", machines.standbys, "standbys of each primary")
    number("--price-core", machines.core, "a core, for a month")
    number("--price-gib", machines.gib, "a GiB of memory, for a month")
    number("--price-disk", machines.disk, "a GB of disk, for a month")
    number("--price-traffic", machines.traffic, "a GB that leaves")
    what = "runs that ./dev bench --json wrote; otherwise the history"
    parser.add_argument("--json", type=Path, default=HISTORY, metavar="FILE", help=what)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e15:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1e15")
    return number


def tables(load: Load, constants: Constants, machines: Machines) -> str:
    """All that is printed, in Markdown."""
    found = plan(load, constants, machines)
    needs = table(found, largest_rate(load, constants, machines))
    return "\n".join([*needs, "", *table_of_constants(constants)])


def table(found: Plan, rate_max: float) -> Iterator[str]:
    """The lines of *found*, as a table in Markdown; *rate_max* fills one Postgres or one Redis."""
    yield "| computed | | how |"
    yield "|---|---:|---|"
    for need in found.needs:
        yield f"| {need.name} | {shown(need.amount)} {need.unit} | {need.how} |"
    yield ""
    yield "| there is one of | used | how |"
    yield "|---|---:|---|"
    for limit in found.limits:
        yield f"| {limit.name} | {shown(limit.used)} times | {limit.how} |"
    yield ""
    first = found.breaks_first
    carried = (
        f"carries {shown(rate_max)} deliveries/s" if rate_max else "is full without a delivery"
    )
    yield f"First to break: {first.name}. With so many clients, one of each {carried}."


def table_of_constants(constants: Constants) -> Iterator[str]:
    """The lines of a table of *constants*, in Markdown."""
    yield "| constant | | | source |"
    yield "|---|---:|---|---|"
    for name, each in sorted(constants.items()):
        value = f"{shown(each.value)} {each.unit}".strip()
        yield f"| {name} | {value} | {each.origin} | {each.source} |"


if __name__ == "__main__":
    main()
