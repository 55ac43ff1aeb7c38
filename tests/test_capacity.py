"""The capacity model: it grows with the load, in the right units, and says what breaks first."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import capacity, capacity_page
from bench.capacity_constants import (
    FAN_OUT,
    POSTGRES,
    UNICAST,
    Constant,
    Origin,
    constants_of,
    read,
)
from bench.capacity_model import Load, Machines, largest_rate, machine_rate, plan
from bench.history import Record, record, recorded
from bench.measuring import Row
from bench.runner import measure_cluster

RUN = Record("2026-11-30", "abc", "postgres", 4.0, {UNICAST: 200.0, FAN_OUT: 60.0})
CONSTANTS = constants_of([RUN])
SMALL = Load(rate=1000.0, clients=100_000.0, fan_out=1, retention=30)
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "scaling.md"


def with_constant(name, value):
    return {**CONSTANTS, name: Constant(value, "", Origin.ASSUMED, "this test")}


# --- Needs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["rate", "clients", "retention"])
def test_no_need_falls_when_the_load_grows(field):
    plans = [plan(replace(SMALL, **{field: 10.0**power}), CONSTANTS) for power in range(3, 9)]
    for name in [each.name for each in plans[0].needs]:
        amounts = [each.amount(name) for each in plans]
        assert amounts == sorted(amounts), name
    assert plans[-1].amount("money") > plans[0].amount("money")


def test_a_delivery_is_cheaper_the_more_recipients_share_its_notification():
    plans = [plan(replace(SMALL, fan_out=recipients), CONSTANTS) for recipients in (1, 10, 1000)]
    for name in ("node cores, deliveries", "Postgres cores, deliveries", "WAL", "disk a day"):
        alone, few, many = [each.amount(name) for each in plans]
        assert alone > few > many > 0, name


def test_needs_are_in_their_units():
    found = plan(SMALL, CONSTANTS, Machines(use=0.5))
    assert found.amount("node cores, deliveries") == pytest.approx(1000 * 200e-6 / 0.5)
    assert found.amount("Postgres cores, deliveries") == pytest.approx(1000 * 70e-6 / 0.5)
    assert found.amount("WAL") == pytest.approx(2.9)  # MB/s
    assert found.amount("disk a day") == pytest.approx(1000 * 1477 * 86_400 / 1e9)
    assert found.amount("disk") == pytest.approx(30 * found.amount("disk a day"))
    assert found.amount("memory of connections") == pytest.approx(100_000 * 33.1 / 2**20)
    assert found.amount("network to clients") == pytest.approx(1000 * 700 * 8 / 1e9)
    assert found.amount("nodes") == 5  # of 20 000 connections


def test_nodes_are_as_many_as_the_cores_or_the_connections_ask_for():
    assert plan(replace(SMALL, rate=100_000.0), CONSTANTS).amount("nodes") == 34
    assert plan(replace(SMALL, rate=1.0, clients=20_001.0), CONSTANTS).amount("nodes") == 2
    assert plan(Load(0.0, 0.0), CONSTANTS).amount("nodes") == 1


def test_money_is_the_sum_of_its_parts_by_the_prices():
    only_disk = Machines(core=0, gib=0, disk=2.0, traffic=0, standbys=1)
    found = plan(SMALL, CONSTANTS, only_disk)
    assert found.amount("money") == pytest.approx(found.amount("disk") * 2 * 2.0)
    free = plan(SMALL, CONSTANTS, Machines(core=0, gib=0, disk=0, traffic=0))
    assert free.amount("money") == 0


# --- What breaks first ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constant", "value", "first"),
    [
        ("commit, WAL", 1e6, "one Postgres, its WAL"),
        ("postgres, unicast", 1e5, "one Postgres, its cores"),
        ("redis, unicast", 1e5, "one Redis"),
        ("canary", 1e6, "a node's core, canaries"),
    ],
)
def test_the_part_that_became_dear_breaks_first(constant, value, first):
    found = plan(SMALL, with_constant(constant, value))
    assert found.breaks_first.name == first
    assert found.breaks_first.used == max(each.used for each in found.limits)


def test_quiet_clients_alone_fill_no_part():
    crowd = plan(Load(rate=0.0, clients=100e6), CONSTANTS)
    assert crowd.breaks_first.used < 0.2
    assert largest_rate(Load(clients=100e6), CONSTANTS) > 0


def test_looks_cost_by_what_changes_until_a_look_at_all_is_cheaper():
    quiet, busy, flooded = [
        plan(Load(rate=rate, clients=1e6), CONSTANTS) for rate in (0.0, 1000.0, 1e6)
    ]
    looks = [each.amount("Postgres cores, looks") for each in (quiet, busy)]
    assert 0 < looks[0] < looks[1]
    largest = 50 * 1e6 / 15 * 0.15e-6 / 0.6 + 1e6 / 15 * 3e-6 / 0.6
    assert flooded.amount("Postgres cores, looks") <= largest


def test_at_the_largest_rate_the_first_part_is_just_full():
    rate = largest_rate(SMALL, CONSTANTS)
    assert plan(replace(SMALL, rate=rate), CONSTANTS).breaks_first.used == pytest.approx(1)


# --- Constants ------------------------------------------------------------------------------------


def test_constants_come_from_the_last_run_that_has_them(tmp_path):
    path = tmp_path / "runs.jsonl"
    for cost in (300.0, 150.0):
        rows = [Row(UNICAST, cost, "µs CPU"), Row(FAN_OUT, 50.0, "µs CPU")]
        record("postgres", {row.name: row for row in rows}, 4.0, path)
    record("sqlite", {UNICAST: Row(UNICAST, 9.0, "µs CPU")}, 4.0, path)
    by_hand = read(path)["postgres, unicast"]
    record("postgres", {POSTGRES: Row(POSTGRES, 55.0, "µs CPU")}, 4.0, path)

    found = read(path)

    node = found["node, unicast"]
    assert (node.value, node.origin) == (150.0, Origin.MEASURED)
    assert "a bare send 4 µs" in node.source
    assert (by_hand.value, found["postgres, unicast"].value) == (70, 55.0)


def test_a_file_without_a_run_that_is_needed_is_refused():
    with pytest.raises(LookupError, match="fan-out"):
        constants_of([replace_costs(RUN, {UNICAST: 1.0})])


def replace_costs(run: Record, costs: dict[str, float]) -> Record:
    return Record(run.on, run.commit, run.store, run.bare_send, costs)


def test_each_constant_says_where_it_comes_from():
    assert all(each.source and each.value > 0 for each in read().values())


# --- The program ----------------------------------------------------------------------------------


def test_the_page_has_charts_and_fetches_nothing():
    constants = with_constant("<b>", 1.0)
    page = capacity_page.page(SMALL, plan(SMALL, constants), constants)
    assert page.count("<svg") == page.count("</svg>") == 4
    assert not re.search(r"<script|https?:|src=|href=|url\(|@import", page)
    assert "<td>&lt;b&gt;</td>" in page


def test_the_program_prints_tables_and_writes_the_page(tmp_path, capsys):
    path = tmp_path / "capacity.html"
    capacity.main(["--rate", "1000", "--clients", "5000", "--html", str(path)])
    printed = capsys.readouterr().out
    assert "| nodes | 1  |" in printed
    assert "First to break: one Postgres, its WAL." in printed
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("number", ["-1", "inf", "nan", "x"])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(SystemExit):
        capacity.main([f"--rate={number}"])


def test_the_document_has_the_tables_of_the_run_that_it_names():
    text = DOCUMENT.read_text(encoding="utf-8")
    [commit] = re.findall(r"costs of commit `(\w+)`", text)
    constants = constants_of([each for each in recorded() if each.commit == commit])
    assert capacity.tables(Load(), constants, Machines()) in text


# --- What was measured ----------------------------------------------------------------------------

CLIENTS: float = 35.0
"""µs of the clients' process for a delivery; fitted, because that run did not measure it."""


@pytest.mark.parametrize(
    ("nodes", "node", "rate"), [(1, 207, 3687), (2, 214, 5878), (3, 218, 6362)]
)
def test_the_rates_of_the_recorded_cluster_are_predicted_within_a_quarter(nodes, node, rate):
    """docs/benchmarks.md: acknowledged delivery on 1, 2 and 3 nodes that share two cores."""
    constants = read()
    beside = constants["postgres, unicast"].value + constants["redis, unicast"].value
    full = constants["full node"].value
    predicted = machine_rate(nodes, node, beside, CLIENTS, cores=2, full_node=full)
    assert predicted == pytest.approx(rate, rel=0.25)


@pytest.mark.alone
@pytest.mark.faults
@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_the_rate_of_a_cluster_on_a_quiet_machine_is_predicted_within_a_quarter(nodes):
    """From the costs of its parts in the same run. A machine with other work is slower."""
    rows = measure_cluster([f"cluster-delivery-{nodes}"], 3)
    kind = f"acknowledged delivery, {nodes} node{'s' if nodes > 1 else ''}"
    cpu = {what: rows[f"{kind}, {what}"].value for what in ("all nodes together", "clients")}
    beside = rows[f"{kind}, Postgres"].value + read()["redis, unicast"].value
    predicted = machine_rate(
        *(nodes, cpu["all nodes together"], beside, cpu["clients"]),
        cores=len(os.sched_getaffinity(0)),
        full_node=read()["full node"].value,
    )
    assert predicted == pytest.approx(rows[f"{kind}, rate"].value, rel=0.25), cpu | {"b": beside}
