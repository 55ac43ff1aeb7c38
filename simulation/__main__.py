"""`./dev simulate`: one run, or many, or a case; see docs/simulation.md."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import fields
from typing import Any, Final

import click
import msgspec

from simulation.bugs.mutations import survey as hunt_all
from simulation.runs import cases
from simulation.runs.figures import Figures
from simulation.runs.report import told_failure, told_figures
from simulation.runs.shrink import shrink
from simulation.runs.simulator import Verdict, simulate
from simulation.runs.survey import Order, Outcome, survey
from simulation.runs.swarm import Scenario, scenario_of
from simulation.world.plan import Plan

_SHRINK_SECONDS: Final = 120.0
"""Seconds in which a failure is shrunk."""
_MUTATION_RUNS: Final = 20
"""The most runs in which each seeded bug is looked for."""
_SIZES: Final = ("nodes", "users", "devices", "posts", "duration")
"""The fields of the plan that have options of their own."""


@click.command()
@click.option("--seed", default=1, show_default=True, help="The seed; of several runs, the first.")
@click.option("--runs", default=1, show_default=True, help="The number of seeds.")
@click.option("--nodes", type=int, help="Nodes of the cluster.")
@click.option("--users", type=int, help="Users in all.")
@click.option("--devices", type=int, help="Devices per user.")
@click.option("--posts", type=float, help="Posts per second, in all.")
@click.option("--duration", type=float, help="Virtual seconds with work and faults.")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=NUMBER", help="Set a field of the plan."
)
@click.option("--calm", is_flag=True, help="Run without faults.")
@click.option("--case", help="Run the regression case of this name.")
@click.option("--until", type=float, help="End at this virtual second, without a verdict.")
@click.option("--trace", "shows_trace", is_flag=True, help="Print the whole trace.")
@click.option("--shrink/--no-shrink", "shrinks", default=True, help="Whether to shrink a failure.")
@click.option("--keep", metavar="NAME", help="Keep the failure as a regression case.")
@click.option(
    "--processes", type=int, help="Worker processes for several runs; default: one per core."
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each run.")
@click.option("--mutations", is_flag=True, help="Check that seeded bugs are found.")
def main(seed: int, runs: int, **options: Any) -> None:
    """Run a simulated cluster from a seed, and check that it keeps its promises.

    The seed decides how large the cluster is, how it is used and what goes wrong; options override
    it. The exit code is 1 if a promise was broken.
    """
    wanted = {name: options[name] for name in _SIZES if options[name] is not None}
    wanted |= dict(map(_setting, options["settings"]))
    order = Order(calm=options["calm"], wanted=wanted)
    if options["mutations"]:
        sys.exit(_mutations(runs if runs > 1 else _MUTATION_RUNS))
    elif runs > 1:
        sys.exit(_many(range(seed, seed + runs), order, options))
    scenario = scenario_of(seed, faultless=order.calm, **wanted)
    if (name := options["case"]) is not None:
        if name not in cases.names():
            raise click.UsageError(f"there is no case {name}; there is: {', '.join(cases.names())}")
        scenario = cases.read(name).scenario
    sys.exit(_one(scenario, options))


def _setting(text: str) -> tuple[str, float]:
    """The name and the value of one `--set`."""
    name, _, number = text.partition("=")
    rates = [each.name for each in fields(Plan) if each.type == "float"]
    if name not in rates:
        raise click.UsageError(f"--set {text}: it is one of {', '.join(rates)}")
    try:
        return name, float(number)
    except ValueError:
        raise click.UsageError(f"--set {text}: {number or 'nothing'} is no number") from None


# --- One run --------------------------------------------------------------------------------------


def _one(scenario: Scenario, options: dict[str, Any]) -> int:
    until = math.inf if options["until"] is None else options["until"]
    began = time.monotonic()
    verdict = simulate(scenario.plan, scenario.schedule, until=until)
    took = time.monotonic() - began
    if options["shows_trace"]:
        for line in verdict.trace.lines():
            print(line)
    if options["as_json"]:
        _print_json(scenario.plan.seed, verdict.trace.digest, verdict.figures, verdict.violations)
    else:
        for told in told_figures(verdict.figures):
            print(told)
        told = f"{verdict.trace.count} lines of trace, digest {verdict.trace.digest}"
        print(f"{told}, in {took:.1f} s ({verdict.figures.seconds / took:.0f} times real time)")
    if not verdict.violations:
        if not options["as_json"]:
            held = "All promises held." if math.isinf(until) else "Ended early; nothing was judged."
            print(held)
        return 0
    if not options["as_json"]:
        _explain(scenario, verdict, options)
    return 1


def _explain(scenario: Scenario, verdict: Verdict, options: dict[str, Any]) -> None:
    """Shrink the failure and print it."""
    print(f"\nBROKEN: {verdict.violations[0]}")
    if options["shrinks"]:
        deadline = time.monotonic() + _SHRINK_SECONDS
        small = shrink(scenario, verdict, goes_on=lambda: time.monotonic() < deadline)
        scenario, verdict = small.scenario, small.verdict
        print(f"\nmade small in {small.runs} runs:")
    print()
    for told in told_failure(verdict):
        print(told)
    if (name := options["keep"]) is not None:
        story = f"seed {scenario.plan.seed}: {verdict.violations[0]}"
        case = cases.Case(story=story, plan=scenario.plan, schedule=scenario.schedule)
        print(
            f"\nkept as {cases.keep(name, case).name}; repeat it with ./dev simulate --case {name}"
        )
    else:
        print(f"\nrepeat it with {_command(scenario.plan.seed, options)}")


def _command(seed: int, options: dict[str, Any]) -> str:
    if options["case"] is not None:
        return f"./dev simulate --case {options['case']}"
    given = [f"--{name} {options[name]:g}" for name in _SIZES if options[name] is not None]
    given += [f"--set {setting}" for setting in options["settings"]]
    calm = ["--calm"] if options["calm"] else []
    return " ".join([f"./dev simulate --seed {seed}", *given, *calm])


# --- Many runs ------------------------------------------------------------------------------------


def _many(seeds: range, order: Order, options: dict[str, Any]) -> int:
    total, failed, began, count = Figures(), list[Outcome](), time.monotonic(), 0
    for count, outcome in enumerate(survey(seeds, order, options["processes"]), 1):
        total.add(outcome.figures)
        if outcome.violations:
            failed.append(outcome)
        if options["as_json"]:
            _print_json(outcome.seed, outcome.digest, outcome.figures, outcome.violations)
        else:
            _progress(outcome, count, len(seeds), len(failed))
    if not options["as_json"]:
        took = time.monotonic() - began
        print(f"\n{count} seeds, {seeds[0]} to {seeds[-1]}, in {took:.0f} s")
        for told in told_figures(total):
            print(told)
        print(f"seeds with violations: {len(failed)}")
        for outcome in sorted(failed, key=lambda each: each.seed):
            print(f"  {_command(outcome.seed, options)}   {_short(outcome)}")
        if not failed:
            print("All promises held, with every seed.")
    return 1 if failed else 0


def _progress(outcome: Outcome, count: int, runs: int, failed: int) -> None:
    if outcome.violations:
        print(f"\rseed {outcome.seed}: {_short(outcome)}")
    if sys.stdout.isatty():
        print(f"\r{count} of {runs}, {failed} failed", end="", flush=True)


def _short(outcome: Outcome) -> str:
    return str(outcome.violations[0]).splitlines()[0][:160]


def _print_json(seed: int, digest: str, figures: Figures, violations: object) -> None:
    told = {"seed": seed, "digest": digest, "figures": figures, "violations": violations}
    print(json.dumps(msgspec.to_builtins(told)))


def _mutations(runs: int) -> int:
    hunts = hunt_all(runs)
    for hunt in hunts:
        print(hunt)
    caught = all(hunt.caught for hunt in hunts)
    if caught:
        print("The judges caught every seeded bug.")
    return 0 if caught else 1


if __name__ == "__main__":
    main(prog_name="./dev simulate")
