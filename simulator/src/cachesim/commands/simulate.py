"""`localmodel simulate`: run a scenario in virtual time, with the production code, and check the invariants."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import pathlib
import shlex
import sys

import msgspec

from cachecore.errors import InvalidInput
from cachecore.quantity import format_bytes
from cachesim.fidelity import FIDELITIES
from cachesim.simulation.outcome import Outcome
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_plan, load_scenario
from cachesim.simulation.seeds import SeedRange, parse_seeds


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "simulate",
        help="run a scenario in virtual time and check the invariants",
        description="Run a scenario in virtual time, with the production services unmodified; with --seeds or with "
        "generated faults, a campaign of many runs. Exit code 1 when an invariant broke, 2 when an input is not valid.",
    )
    parser.add_argument(
        "scenario",
        type=pathlib.Path,
        nargs="?",
        metavar="SCENARIO",
        help="a scenario file (YAML); none with --merge or --from-log",
    )
    parser.add_argument(
        "--seed", type=int, help="decides everything that is left to chance (default: the scenario's own, or 1)"
    )
    parser.add_argument("--seeds", metavar="A..B", help="a campaign: one run for each of these seeds")
    parser.add_argument(
        "--index", type=int, metavar="I", help="as many seeds, I times --seeds further on: 2 of 1..100 is 201..300"
    )
    parser.add_argument(
        "--merge",
        type=pathlib.Path,
        nargs="+",
        metavar="FILE",
        help="run nothing: put the outcomes of a campaign's parts together, from JSON or from logs (-: standard input)",
    )
    parser.add_argument(
        "--from-log",
        type=pathlib.Path,
        nargs="+",
        metavar="FILE",
        help="run no scenario: decide again what the logs of agents and managers say was decided, and compare",
    )
    parser.add_argument(
        "--faults",
        metavar="PLAN",
        help="what goes wrong instead of the scenario's own faults: a plan file; `random`: one to three faults drawn "
        "for each seed; `exhaustive`: each fault at each write of the scenario, one run each",
    )
    parser.add_argument(
        "--fidelity", choices=FIDELITIES, default="flow", help="rates only, or every byte for real (default: flow)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes of a campaign (default: all cores)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the outcome as JSON (-: one line)")
    parser.add_argument(
        "--report", type=pathlib.Path, metavar="FILE.html", help="draw the run as a page: a lane per node, over time"
    )
    parser.add_argument(
        "--replay", action="store_true", help="tell the run in words, on a terminal event by event as you ask for them"
    )
    parser.add_argument("--verbose", action="store_true", help="show the log of the simulated services")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    # What the simulated services log is theirs: a person reads the outcome.
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO if arguments.verbose else logging.CRITICAL)
    try:
        if str(arguments.json) == "-":
            # The JSON has standard output for itself.
            with contextlib.redirect_stdout(sys.stderr):
                return _run(arguments)
        return _run(arguments)
    finally:
        root.setLevel(before)


def _run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.merge is not None:
            from cachesim.commands.merging import merge_and_tell

            return merge_and_tell(arguments)
        if arguments.from_log is not None:
            from cachesim.commands.from_log import compare_and_tell, refuse_others

            refuse_others(arguments)
            return compare_and_tell(arguments.from_log, arguments.json)
        scenario = load_scenario(_scenario_path(arguments))
        _refuse_planned(scenario)
        if not (arguments.seeds is None and arguments.index is None) or arguments.faults in ("random", "exhaustive"):
            from cachesim.commands.campaign import run_and_tell

            return run_and_tell(scenario, _seeds(arguments, scenario), arguments)
        return _run_once(scenario, arguments)
    except InvalidInput as error:
        print(f"localmodel simulate: {error}", file=sys.stderr)
        return 2


def _refuse_planned(scenario: Scenario) -> None:
    """Raises `InvalidInput` for what a scenario says to plans alone."""
    if scenario.nodes.gpus is not None:
        raise InvalidInput("nodes.gpus is for localmodel plan; a simulation has room for every pod")
    if scenario.traffic is not None and scenario.traffic.releases:
        raise InvalidInput("traffic.releases is for localmodel plan; in a simulation, write steps of the story")


def _scenario_path(arguments: argparse.Namespace) -> pathlib.Path:
    if arguments.scenario is None:
        raise InvalidInput("which SCENARIO? Give a file, --merge with the outcomes of a campaign, or --from-log")
    return pathlib.Path(arguments.scenario)


def _seeds(arguments: argparse.Namespace, scenario: Scenario) -> SeedRange:
    if arguments.seeds is None:
        if arguments.index is not None:
            raise InvalidInput("--index counts on from --seeds: give that too")
        seed = _seed(arguments, scenario)
        return SeedRange(seed, seed)
    if arguments.seed is not None:
        raise InvalidInput("--seed and --seeds: give one of them")
    seeds = parse_seeds(arguments.seeds)
    if arguments.index is None:
        return seeds
    if arguments.index < 0:
        raise InvalidInput(f"--index {arguments.index}: indexes count from 0")
    return seeds.at_index(arguments.index)


def _seed(arguments: argparse.Namespace, scenario: Scenario) -> int:
    if arguments.seed is not None:
        return int(arguments.seed)
    return 1 if scenario.seed is None else scenario.seed


def _run_once(scenario: Scenario, arguments: argparse.Namespace) -> int:
    # Imported late, so that the other commands start without the services.
    from cachesim.commands.watching import simulate_watched
    from cachesim.simulation.run import Options

    faults = None if arguments.faults is None else load_plan(pathlib.Path(arguments.faults), scenario)
    seed = _seed(arguments, scenario)
    again = _command(arguments, seed)
    done = simulate_watched(
        scenario,
        seed,
        Options(faults=faults, fidelity=arguments.fidelity),
        command=again,
        report=arguments.report,
        replay=arguments.replay,
        progress=_show_progress if sys.stderr.isatty() else None,
    )
    if done is None:
        return 0
    write_outcome(done.outcome, arguments.json)
    print(describe(done.outcome))
    if not done.outcome.ok:
        print("\nThe last events:", *(f"  {line[:160]}" for line in done.last_lines), sep="\n")
        print(f"\nReplay it: {again} --replay")
    return 0 if done.outcome.ok else 1


def _command(arguments: argparse.Namespace, seed: int) -> str:
    """What runs it again, as typed into a shell."""
    words = ["localmodel", "simulate", str(arguments.scenario), "--seed", str(seed)]
    words += ["--faults", arguments.faults] if arguments.faults else []
    words += ["--fidelity", arguments.fidelity] if arguments.fidelity != "flow" else []
    return shlex.join(words)


def write_outcome(outcome: Outcome, path: pathlib.Path | None) -> None:
    """Raises `InvalidInput` when the file can't be written."""
    if path is None:
        return
    if str(path) == "-":
        print(msgspec.json.encode(outcome).decode(), file=sys.__stdout__)
        return
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from error


def describe(outcome: Outcome) -> str:
    """The outcome in words."""
    hours = outcome.virtual_seconds / 3600
    rate = outcome.events / outcome.wall_seconds if outcome.wall_seconds else 0.0
    starts = outcome.cold_starts
    what = f"seed {outcome.seed}" if outcome.plans == 1 else f"{outcome.plans} plans, seeds {outcome.seeds}"
    lines = [
        f"scenario {outcome.scenario}, {what}: {'ok' if outcome.ok else 'FAILED'}",
        f"  {hours:.1f} h of virtual time in {outcome.wall_seconds:.1f} s, {outcome.events} events ({rate:,.0f}/s)",
        f"  {starts.count} pod starts, {starts.hit_ratio:.1%} of them with their model already on the node",
        f"  from creation to ready: p50 {starts.p50_seconds:.1f} s, p99 {starts.p99_seconds:.1f} s",
        f"  {format_bytes(outcome.bytes_fetched)} fetched, {outcome.evictions} evictions",
        f"  event log {outcome.event_log_hash}",
    ]
    lines += [f"  {found.invariant} at {found.time:.3f} s: {found.message}" for found in outcome.violations[:20]]
    if len(outcome.violations) > 20:
        lines.append(f"  and {len(outcome.violations) - 20} violations more")
    return "\n".join(lines)


def _show_progress(share: float, events: int) -> None:
    end = "\n" if share >= 1 else ""
    print(f"\r{share:4.0%} of virtual time, {events} events", end=end, file=sys.stderr, flush=True)
