"""The campaigns of `localmodel simulate`: many runs, their progress, and what a person reads of their failures."""

from __future__ import annotations

import argparse
import pathlib
import sys

import msgspec

from cachecore.errors import InvalidInput
from cachesim.campaign.campaign import SOMETIMES_PLANS, FaultsOf, Tally, make_plans, run_campaign
from cachesim.campaign.shrinking import as_yaml
from cachesim.commands.simulate import describe, write_outcome
from cachesim.commands.watching import simulate_watched
from cachesim.faults.plan import Fault
from cachesim.simulation.outcome import Failure, Outcome
from cachesim.simulation.run import Options
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_plan
from cachesim.simulation.seeds import SeedRange
from cachesim.sometimes.names import SITUATIONS

# How often progress is told where it can't overwrite itself.
_TOLD_SECONDS = 10.0
# What a shell answers for a command that Ctrl-C ended. No script takes it for success.
_EXIT_INTERRUPTED = 130


def run_and_tell(scenario: Scenario, seeds: SeedRange, arguments: argparse.Namespace) -> int:
    """Run the campaign that the arguments ask for. Raises `InvalidInput`."""
    if arguments.jobs < 1:
        raise InvalidInput("--jobs: at least one process is needed")
    if arguments.replay:
        raise InvalidInput("--replay steps through one run: give one --seed, and faults from a file or none")
    plans = make_plans(scenario, seeds, _faults_of(arguments.faults, scenario))
    outcome = run_campaign(
        scenario, plans, jobs=arguments.jobs, fidelity=arguments.fidelity, told=_Progress(len(plans))
    )
    write_outcome(outcome, arguments.json)
    print(describe(outcome))
    tell_missed(outcome)
    drawn = next((failure for failure in outcome.failures if failure.shrunk), None)
    for failure in outcome.failures:
        tell_failure(failure, report=arguments.report if failure is drawn else None)
    if arguments.report is not None and drawn is None:
        print(f"\n{arguments.report} was not written: it would draw the first failure that was shrunk.")
    interrupted = outcome.plans < len(plans)
    if interrupted:
        print(
            f"\nInterrupted: {len(plans) - outcome.plans} of {len(plans)} plans were not run, and nothing was shrunk."
        )
    if not outcome.ok:
        return 1
    return _EXIT_INTERRUPTED if interrupted else 0


def _faults_of(text: str | None, scenario: Scenario) -> FaultsOf:
    match text:
        case "random":
            return "random"
        case "exhaustive":
            return "exhaustive"
        case None:
            return None
        case _:
            return load_plan(pathlib.Path(text), scenario)


class _Progress:
    """Plans per second and what is left, on one line of a terminal, or a line now and then elsewhere.

    A failure is told as it comes: a long campaign needs not end before somebody looks into it.
    """

    def __init__(self, plans: int) -> None:
        self._plans = plans
        self._told_seconds = 0.0
        self._told_failures = 0

    def __call__(self, tally: Tally, seconds: float) -> None:
        done, failed = tally.plans, len(tally.failed)
        terminal = sys.stderr.isatty()
        for result in tally.failed[self._told_failures :]:
            violation = result.violations[0]
            words = f"seed {result.plan.seed} broke {violation.invariant}: {violation.message}"
            print(f"{chr(13) if terminal else ''}{words:<78}", file=sys.stderr, flush=True)
        self._told_failures = failed
        if not terminal and done < self._plans and seconds - self._told_seconds < _TOLD_SECONDS:
            return
        self._told_seconds = seconds
        rate = done / seconds if seconds else 0.0
        left_seconds = (self._plans - done) / rate if rate else 0.0
        words = f"{done} of {self._plans} plans, {failed} failed, {rate:.1f} plans/s, {left_seconds:.0f} s to go"
        end = "\n" if not terminal or done == self._plans else ""
        print(f"{chr(13) if terminal else ''}{words:<78}", end=end, file=sys.stderr, flush=True)


def tell_missed(outcome: Outcome) -> None:
    """Which situations a campaign has never come to: a large one should have."""
    if not outcome.missed:
        return
    if outcome.plans < SOMETIMES_PLANS:
        count = f"situations never seen: {len(outcome.missed)}"
        print(f"  {count}, which counts from {SOMETIMES_PLANS} plans on")
        return
    print("\nNever seen:")
    for name in outcome.missed:
        print(f"  {name}: {SITUATIONS[name]}")


def tell_failure(failure: Failure, report: pathlib.Path | None = None) -> None:
    """A failure as a person needs it: what broke, the smallest scenario that does it, and what happened last in it.

    `report` is where that scenario's run is drawn.
    """
    print(f"\nseed {failure.seed} broke {failure.invariant}: {failure.message}")
    if not failure.shrunk:
        print("  its plan: " + "; ".join(msgspec.convert(fault, Fault).words() for fault in failure.plan))
        return
    shrunk = msgspec.convert(failure.shrunk, Scenario)
    print("The smallest scenario that was found to break it; save it, and step through it with --replay:\n")
    print(as_yaml(shrunk))
    again = simulate_watched(
        shrunk,
        failure.seed,
        Options(),
        command=f"localmodel simulate SHRUNK.yaml --seed {failure.seed}",
        report=report,
        replay=False,
        progress=None,
    )
    if again is not None:
        print("Its last events:", *(f"  {line[:160]}" for line in again.last_lines), sep="\n")
